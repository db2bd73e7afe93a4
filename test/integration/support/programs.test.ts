// The doubles as programs, for whoever tries something by hand.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { root } from '../../support/launch.ts';
import { eventually, within } from '../../support/wait.ts';

function start(t: TestContext, double: string, args: readonly string[]) {
  const main = join(root, 'test', 'support', double, 'main.ts');
  const child: ChildProcess = spawn(process.execPath, [main, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return {
    url: () => eventually('the URL', () => /http:\/\/[\w.]+:\d+/.exec(output)?.[0]),
    say: (line: string) => child.stdin?.write(`${line}\n`),
    async stop() {
      child.kill('SIGTERM');
      assert.equal(await within('the end', 5000, closed), 0);
    },
  };
}

test('the fake Kubernetes API', async (t) => {
  const kubernetes = start(t, 'kubernetes', ['--listen', '127.0.0.1:0']);
  const url = await kubernetes.url();
  kubernetes.say('a line for the logs');
  await eventually('the line', async () => {
    const log = await fetch(`${url}/api/v1/namespaces/default/pods/web/log`);
    return (await log.text()).includes('a line for the logs');
  });
  await kubernetes.stop();
});

test('the fake GitLab', async (t) => {
  const gitlab = start(t, 'gitlab', ['--era', '2023']);
  const answer = await fetch(`${await gitlab.url()}/api/v4/internal/kubernetes/agent_info`);
  assert.equal(answer.status, 401, 'the caller has no JWT');
  await gitlab.stop();
});

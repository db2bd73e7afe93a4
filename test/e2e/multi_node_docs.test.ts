// The example of docs/multi-node.md, run as it stands there: two nodes, a Redis, a balancer.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { kubeconfig, startAgentProcess } from '../support/agent_process.ts';
import { freePort } from '../support/endpoint.ts';
import { haProxyProgram } from '../support/haproxy.ts';
import { startKubernetes } from '../support/kubernetes/kubernetes.ts';
import { launchCommand, root, which } from '../support/launch.ts';
import { noRedis } from '../support/redis.ts';
import { runToEnd } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

const page = readFileSync(join(root, 'docs', 'multi-node.md'), 'utf8');
const skip =
  noRedis ||
  (haProxyProgram() === undefined && 'no haproxy here: install it (Debian: haproxy)') ||
  (['bash', 'curl', 'openssl'].find((tool) => which(tool) === undefined) ?? false);
if (skip) process.stderr.write(`SKIPPED: the example of docs/multi-node.md: ${skip}\n`);

/** What stands in fences of a language under a heading. */
function blocks(heading: string, language: string): string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(heading)) ?? assert.fail(`no chapter ${heading}`);
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, text = '']) => text);
}

/** The first digits of ports of which none is in use: 2315 for 23150 to 23159. */
async function freePrefix(): Promise<string> {
  for (;;) {
    const prefix = String(2000 + Math.floor(Math.random() * 1000));
    const ports = Array.from({ length: 10 }, (_, i) => Number(`${prefix}${i}`));
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return prefix;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A shell command; whatever it leaves behind ends with the test. */
function shell(t: TestContext, folder: string, script: string): { readonly child: ChildProcess; output(): string } {
  const child = spawn('bash', ['-ec', script], {
    cwd: folder,
    detached: true,
    env: { ...process.env, OWN_PRIVATE_API_URL: '', PATH: `${folder}:${process.env.PATH}:/usr/sbin` },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  t.after(() => {
    try {
      process.kill(-(child.pid ?? assert.fail()), 'SIGKILL');
    } catch {
      // nothing of it is left
    }
  });
  return { child, output: () => text };
}

test('two nodes, a Redis and haproxy, as the page has them', { skip, timeout: 90_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'multi-node-'));
  const kubernetes = await startKubernetes();
  t.after(async () => {
    await kubernetes.close();
    rmSync(folder, { recursive: true, force: true });
  });
  // The ports of the example may be in use here.
  const [first, second, balancer, redis] = [
    await freePrefix(),
    await freePrefix(),
    await freePrefix(),
    await freePort(),
  ];
  const here = (text: string) =>
    text
      .replaceAll(/\b815(?=\d|\/)/g, first)
      .replaceAll(/\b915(?=\d|\/)/g, second)
      .replaceAll(/\b825(?=\d)/g, balancer)
      .replaceAll('6379', String(redis));
  const [yaml = ''] = blocks('Two nodes on one machine', 'yaml');
  const [start = '', ask = ''] = blocks('Two nodes on one machine', 'sh').map(here);
  const [haproxy = ''] = blocks('The balancer', 'haproxy').map(here);
  writeFileSync(join(folder, 'node-1.yml'), here(yaml));
  writeFileSync(join(folder, 'haproxy.cfg'), haproxy);
  const { command, args } = launchCommand();
  const quoted = [command, ...args].map((word) => `'${word}'`).join(' ');
  writeFileSync(join(folder, 'gitlab-kas'), `#!/bin/sh\nexec ${quoted} "$@"\n`);
  chmodSync(join(folder, 'gitlab-kas'), 0o755);

  const nodes = shell(t, folder, `${start}\nwait`);
  const log = (node: number) => readFileSync(join(folder, `node-${node}.log`), 'utf8');
  const ready = (prefix: string) =>
    fetch(`http://127.0.0.1:${prefix}1/readiness`).then(
      async (response) => response.status === 200 && (await response.text()) === '',
      () => false,
    );
  await eventually('both nodes', async () => (await ready(first)) && (await ready(second)), 30_000).catch((error) =>
    assert.fail(`${String(error)}\n${nodes.output()}`),
  );
  for (const [node, prefix] of [
    [1, first],
    [2, second],
  ] as const) {
    assert.ok(log(node).includes(`"msg":"Using own private API URL","url":"grpc://127.0.0.1:${prefix}5"`), log(node));
    assert.doesNotMatch(log(node), /"level":"(warn|error)"/);
  }
  shell(t, folder, 'exec haproxy -db -f haproxy.cfg');
  const agent = async (port: string) => {
    const started = await startAgentProcess({
      program: process.env.AGENTK ?? join(root, 'test', 'support', 'bin', 'agentk'),
      kasAddress: `ws://127.0.0.1:${port}`,
      token: readFileSync(join(folder, 'demo.token'), 'utf8').trim(),
      kubeconfig: kubeconfig(kubernetes.url, {}),
    });
    t.after(() => started.close());
    return started;
  };
  const asked = async (script: string) => {
    const running = shell(t, folder, script);
    await new Promise((resolve) => running.child.once('close', resolve));
    assert.match(running.output(), /"kube-system"/, `${running.output()}\n${log(2)}`);
  };
  const direct = await agent(`${first}0`);
  await asked(ask);
  await direct.close();
  // And the same through the balancer, in turn at both.
  await eventually('haproxy', () => isFree(Number(`${balancer}4`)).then((free) => !free));
  await agent(`${balancer}0`);
  for (let i = 0; i < 4; i++) await asked(ask.replace(`:${second}4`, `:${balancer}4`));
});

test('what the page shows of configurations is understood', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'multi-node-'));
  try {
    const [example = ''] = blocks('Two nodes on one machine', 'yaml');
    const [tls = ''] = blocks('TLS between nodes', 'yaml');
    for (const name of ['private_api.secret', 'demo.token', 'alice.token'])
      writeFileSync(join(folder, name), Buffer.alloc(32, name.length).toString('base64'), { mode: 0o600 });
    writeFileSync(join(folder, 'c.yml'), JSON.stringify(parse(example)));
    const checked = await runToEnd(['check-config', join(folder, 'c.yml')]);
    assert.deepEqual([checked.status, checked.stderr], [0, '']);
    // Keys of the other example are the keys that there are.
    const reference = readFileSync(join(root, 'docs', 'configuration.md'), 'utf8');
    const { private_api } = parse(tls) as { private_api: { listen: object } };
    for (const key of Object.keys(private_api.listen))
      assert.ok(reference.includes(`\`private_api.listen.${key}\``), key);
    const [chart = ''] = blocks('With the Helm chart', 'yaml');
    const { gitlab } = parse(chart) as { gitlab: { kas: { customConfig: unknown } } };
    assert.deepEqual(gitlab.kas.customConfig, {
      agent: { kubernetes_api: { listen: { shutdown_grace_period: '240s' } } },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

// The real kubectl, straight at the fake Kubernetes API: what goes wrong here is no fault of the server under test.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type FakeKubernetes, startKubernetes } from '../../support/kubernetes/kubernetes.ts';
import { eventually } from '../../support/wait.ts';

/** KUBECTL=path puts another one in its place. */
const program = process.env.KUBECTL ?? 'kubectl';
const missing = spawnSync(program, ['version', '--client']).status === 0 ? false : `SKIPPED: cannot run ${program}`;

describe('kubectl at the fake Kubernetes API', { skip: missing }, () => {
  let kubernetes: FakeKubernetes;
  let home: string;
  const children = new Set<ChildProcess>();

  before(async () => {
    kubernetes = await startKubernetes();
    home = mkdtempSync(join(tmpdir(), 'kubectl-'));
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await kubernetes.close();
    rmSync(home, { recursive: true, force: true });
  });

  const options = () => ({ env: { ...process.env, HOME: home, KUBECONFIG: '' }, cwd: home });
  const kubectl = async (...args: string[]) =>
    (await promisify(execFile)(program, ['-s', kubernetes.url, ...args], options())).stdout;
  /** A kubectl that stays; `output()` is what it has written so far. */
  const follow = (...args: string[]) => {
    const child = spawn(program, ['-s', kubernetes.url, ...args], {
      ...options(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.add(child);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const stop = async () => {
      child.kill();
      await once(child, 'exit');
    };
    return { output: () => text, stop };
  };

  test('get', async () => {
    const pods = await kubectl('get', 'pods');
    assert.match(pods, /^NAME +READY +STATUS +RESTARTS +AGE\ndb +1\/1 +Running +0 +\d+s\nweb +1\/1 +Running/);
    assert.match(await kubectl('get', 'pods', '-o', 'wide'), /NODE\ndb .*127\.0\.0\.1 +node-1\n/);
    assert.equal(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name'), 'pod/web\n');
    assert.match(await kubectl('get', 'deployments'), /web +1\/1 +1 +1/);
  });

  test('apply creates, then changes', async () => {
    const file = join(home, 'configmap.yaml');
    const write = (value: string) =>
      writeFileSync(file, `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {key: ${value}}\n`);
    write('one');
    assert.equal(await kubectl('apply', '-f', file), 'configmap/applied created\n');
    write('two');
    assert.equal(await kubectl('apply', '-f', file), 'configmap/applied configured\n');
    assert.equal(await kubectl('apply', '--server-side', '-f', file), 'configmap/applied serverside-applied\n');
    assert.equal(await kubectl('get', 'configmap', 'applied', '-o', 'jsonpath={.data.key}'), 'two');
    assert.match(await kubectl('delete', 'configmap', 'applied'), /deleted/);
  });

  test('get -w sees what happens', async () => {
    const watch = follow('get', 'pods', '--watch');
    await eventually('the list', () => watch.output().includes('web '));
    kubernetes.addPod('newcomer');
    await eventually('the event', () => watch.output().includes('newcomer '));
    await watch.stop();
    kubernetes.remove('pods', 'default', 'newcomer');
    await eventually('the watch to be over', () =>
      kubernetes.requests.every((request) => !request.open || !request.target.includes('watch=')),
    );
  });

  test('logs -f follows', async () => {
    const logs = follow('logs', '-f', 'web');
    await eventually('the first line', () => logs.output() === 'first line\n');
    kubernetes.say('second line');
    await eventually('the second line', () => logs.output() === 'first line\nsecond line\n');
    await logs.stop();
  });

  test('exec runs commands, with input, both outputs and exit status', async () => {
    assert.equal(await kubectl('exec', 'web', '--', 'echo', 'a  b'), 'a  b\n');
    await assert.rejects(
      kubectl('exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'),
      (error: Error & { code: number; stdout: string; stderr: string }) => {
        assert.equal(error.code, 3);
        assert.equal(error.stdout, 'out\n');
        assert.match(error.stderr, /^err\n/);
        return true;
      },
    );
    const child = spawn(program, ['-s', kubernetes.url, 'exec', '-i', 'web', '--', 'wc', '-c'], {
      ...options(),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end(Buffer.alloc(300_000, 'x'));
    assert.equal(String((await once(child.stdout, 'data'))[0]).trim(), '300000');
    const used = kubernetes.requests.findLast((request) => request.target.includes('/exec'));
    assert.equal(used?.upgrade, true);
  });

  test('cp there and back', async () => {
    writeFileSync(join(home, 'file.txt'), 'some content');
    await kubectl('cp', 'file.txt', 'web:copied.txt');
    assert.equal(readFileSync(join(kubernetes.folder, 'web', 'copied.txt'), 'utf8'), 'some content');
    await kubectl('cp', 'web:copied.txt', 'back.txt');
    assert.equal(readFileSync(join(home, 'back.txt'), 'utf8'), 'some content');
  });

  test('auth whoami shows the impersonated identity', async () => {
    assert.match(
      await kubectl('auth', 'whoami', '--as=jane', '--as-group=devs'),
      /Username +jane\nGroups +\[devs system:authenticated\]/,
    );
  });
});

describe('the fake Kubernetes API', () => {
  test('a bearer token is asked for if there is one', async (t) => {
    const kubernetes = await startKubernetes({ token: 'secret' });
    t.after(() => kubernetes.close());
    assert.equal((await fetch(`${kubernetes.url}/version`)).status, 401);
    assert.equal(
      (await fetch(`${kubernetes.url}/version`, { headers: { authorization: 'Bearer secret' } })).status,
      200,
    );
  });

  test('big bodies, slow streams, echo', async (t) => {
    const kubernetes = await startKubernetes();
    t.after(() => kubernetes.close());
    const big = await fetch(`${kubernetes.url}/big?bytes=1000001`);
    assert.equal(big.headers.get('content-length'), '1000001');
    assert.equal((await big.arrayBuffer()).byteLength, 1_000_001);
    assert.equal(await (await fetch(`${kubernetes.url}/slow?chunks=3&every=5&size=2`)).text(), '010101');
    const echo = (await (
      await fetch(`${kubernetes.url}/echo?a=1`, { method: 'POST', body: 'hello' })
    ).json()) as object;
    assert.deepEqual(
      { ...echo, headers: [] },
      { method: 'POST', path: '/echo?a=1', headers: [], body: 'hello', bodyLength: 5 },
    );
  });
});

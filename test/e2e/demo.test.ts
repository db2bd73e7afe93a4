// scripts/demo, as somebody runs it who has just cloned the repository.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { withoutKubectl } from '../support/kubectl.ts';
import { root, which } from '../support/launch.ts';
import { eventually, within } from '../support/wait.ts';

/** What the demo and the commands in its pod need of a machine. */
const tools = ['sh', 'env', 'dirname', 'basename', 'uname', 'node', 'git', 'strip', 'cat'];

describe('scripts/demo', () => {
  let folder: string;
  let temporary: string;
  const running = new Set<ChildProcess>();

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'demo-test-'));
    temporary = mkdtempSync(join(folder, 'tmp-'));
  });
  after(() => {
    for (const child of running) child.kill('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  });

  /** A PATH with little on it. npm there refuses to run: a test must not change what is installed. */
  function path(kubectl: { link: string } | { script: string } | undefined): string {
    const bin = mkdtempSync(join(folder, 'bin-'));
    for (const tool of tools) {
      const at = which(tool);
      if (at !== undefined) symlinkSync(at, join(bin, tool));
    }
    const script = (name: string, text: string) =>
      writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    script('npm', 'echo "the packages are out of date: run npm ci" >&2; exit 1');
    if (kubectl !== undefined && 'link' in kubectl) symlinkSync(kubectl.link, join(bin, 'kubectl'));
    if (kubectl !== undefined && 'script' in kubectl) script('kubectl', kubectl.script);
    return bin;
  }

  function start(args: readonly string[], PATH: string, repository = root) {
    const env = { PATH, HOME: folder, TMPDIR: temporary };
    const child = spawn(join(repository, 'scripts', 'demo'), args, {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const)
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        output[stream] += text;
      });
    const closed = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    closed.then(() => running.delete(child));
    return { child, output, status: () => within('the demo', 50_000, closed) };
  }

  function assertShown(stdout: string): void {
    assert.match(stdout, /^NAME +READY +STATUS .*\ndb +1\/1 +Running .*\nweb +1\/1 +Running /m);
    assert.match(stdout, /^ADDED +newcomer +1\/1 +Running/m);
    assert.match(stdout, /^hello from web$/m);
  }

  function assertNothingLeft(): void {
    assert.deepEqual(readdirSync(temporary), []);
  }

  test('--once with kubectl', { skip: withoutKubectl }, async () => {
    const demo = start(['--once'], path({ link: which('kubectl') ?? '' }));
    assert.equal(await demo.status(), 0, demo.output.stderr);
    assert.match(demo.output.stdout, /^\$ kubectl get pods$/m);
    assertShown(demo.output.stdout);
    assert.doesNotMatch(demo.output.stdout, /runs from source/);
    assert.equal(demo.output.stderr, '');
    assertNothingLeft();
  });

  test('--once without kubectl', async () => {
    const demo = start(['--once'], path(undefined));
    assert.equal(await demo.status(), 0, demo.output.stderr);
    assert.match(demo.output.stdout, /^\$ GET \/api\/v1\/namespaces\/default\/pods$/m);
    assertShown(demo.output.stdout);
    assertNothingLeft();
  });

  test('runs from source where no executable can be built, and says so', async () => {
    const repository = join(folder, 'repository');
    mkdirSync(repository);
    for (const entry of ['package.json', 'package-lock.json', 'scripts', 'src', 'test/support'])
      cpSync(join(root, entry), join(repository, entry), { recursive: true, preserveTimestamps: true });
    symlinkSync(join(root, 'node_modules'), join(repository, 'node_modules'));
    writeFileSync(join(repository, 'dist'), 'no folder, so that nothing can be built into it');
    const demo = start(['--once'], path(undefined), repository);
    assert.equal(await demo.status(), 0, demo.output.stderr);
    assert.match(
      demo.output.stdout,
      /^No executable can be built here, the server runs from source instead \(.+\)\.$/m,
    );
    assert.match(demo.output.stdout, /^Server: \S+ \S+\/repository\/src\/main\.ts$/m);
    assertShown(demo.output.stdout);
    assertNothingLeft();
  });

  test('stays up with instructions that are true, until it is told to end', async () => {
    const demo = start([], path(undefined));
    await eventually('the instructions', () => /^Logs: /m.test(demo.output.stdout), 50_000);
    const { stdout } = demo.output;
    const named = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? assert.fail(`no ${pattern} in ${stdout}`);
    const token = readFileSync(named(/Bearer \$\(cat (\S+)\)"/), 'utf8');
    const ca = readFileSync(named(/--cacert (\S+)/), 'utf8');
    const pods = named(/^ +(https:\S+\/pods)$/m);
    assert.match(await textOf(pods, ca, token), /"name":"web"/);
    assert.match(await (await fetch(named(/curl (http:\S+\/metrics)/))).text(), /^# TYPE /m);
    const kubeconfig = parse(readFileSync(named(/KUBECONFIG=(\S+)/), 'utf8')) as {
      clusters: { cluster: { server: string } }[];
      users: { user: { token: string } }[];
    };
    assert.ok(pods.startsWith(`${kubeconfig.clusters[0]?.cluster.server}/`));
    assert.equal(kubeconfig.users[0]?.user.token, token);
    assert.match(token, /^pat:1:/);
    assert.ok(existsSync(named(/^Configuration: +(\S+)/m)));
    demo.child.kill('SIGINT');
    assert.equal(await demo.status(), 0, demo.output.stderr);
    await assert.rejects(textOf(pods, ca, token), { code: 'ECONNREFUSED' });
    assertNothingLeft();
  });

  test('a failure says what, and where the logs are', async () => {
    const version = `{"clientVersion":{"gitVersion":"v1.99.0"}}`;
    const demo = start(
      ['--once'],
      path({ script: `[ "$1" = version ] && echo '${version}' && exit; echo boom >&2; exit 7` }),
    );
    assert.equal(await demo.status(), 1);
    assert.match(demo.output.stderr, /^demo: kubectl get pods: exit status 7: boom$/m);
    const logs = /^demo: logs and configuration are in (\S+)$/m.exec(demo.output.stderr)?.[1] ?? '';
    assert.match(readFileSync(join(logs, 'server.log'), 'utf8'), /"level":"info"/);
  });
});

function textOf(url: string, ca: string, token: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { ca, headers: { authorization: `Bearer ${token}` }, agent: false };
    const outgoing = request(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    });
    outgoing.on('error', reject).end();
  });
}

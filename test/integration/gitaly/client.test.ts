import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { GitalyInfoSchema, GitalyRepositorySchema } from '../../../src/gen/gitlab/agent/entity/entity_pb.ts';
import type { RepositoryAt } from '../../../src/gitaly/client.ts';
import { createGitalyClient } from '../../../src/gitaly/create_client.ts';
import type { Log } from '../../../src/observability/log.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { RecordingSpan } from '../../support/doubles/recording_span.ts';
import { type FakeGitaly, type GitalyOptions, startGitaly } from '../../support/gitaly/gitaly.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { makeTls } from '../../support/tls.ts';
import { eventually } from '../../support/wait.ts';

const CONFIG = '.gitlab/agents/agent-1/config.yaml';
const patience = () => ({ signal: AbortSignal.timeout(10_000) });
const generous = { refillRatePerSecond: 1000, bucketSize: 1000 };

async function setUp(
  t: TestContext,
  options: GitalyOptions & {
    readonly env?: Record<string, string>;
    readonly perServer?: { refillRatePerSecond: number; bucketSize: number };
    readonly lookup?: () => Promise<readonly string[]>;
    readonly grpcLog?: Log;
  } = {},
) {
  const gitaly = await startGitaly(options);
  const client = createGitalyClient({
    config: { globalApiRateLimit: generous, perServerApiRateLimit: options.perServer ?? generous },
    clock: systemClock,
    identity: 'gitlab-kas/v1/abc',
    env: options.env ?? {},
    ...(options.lookup && { lookup: options.lookup }),
    grpcLog: options.grpcLog,
  });
  t.after(async () => {
    client.close();
    await gitaly.close();
  });
  const repository = await gitaly.createRepository('p/1.git');
  return { gitaly, client, repository, at: placeOf(gitaly) };
}

function placeOf(gitaly: FakeGitaly, more: { address?: string; token?: string } = {}): RepositoryAt {
  const { address = gitaly.address, token = gitaly.token } = more;
  return {
    gitaly: create(GitalyInfoSchema, { address, token, features: { 'gitaly-feature-x': 'true' } }),
    repository: create(GitalyRepositorySchema, {
      storageName: 'default',
      relativePath: 'p/1.git',
      glRepository: 'project-1',
      glProjectPath: 'group/project',
    }),
  };
}

test('the log of gRPC connections tells of those to Gitaly', async (t) => {
  const { log, lines } = recordingLog();
  const { client, at, gitaly } = await setUp(t, { grpcLog: log });
  await client.findRef(at, 'HEAD', patience());
  client.close();
  const closed = 'gRPC connection to a server closed';
  await eventually('the end', () => lines.some(({ message }) => message === closed));
  await gitaly.close();
  await assert.rejects(client.findRef(at, 'HEAD', patience()));
  const missed = 'gRPC connection to a server not made';
  await eventually('the failure', () => lines.some(({ message }) => message === missed));
  const told = lines.map(({ message, fields }) => [message, fields.gitaly_address, fields.closed_by]);
  const address = gitaly.address.replace('tcp:', 'http:');
  assert.deepEqual(told, [
    ['gRPC connection to a server opened', address, undefined],
    [closed, address, 'us'],
    [missed, address, undefined],
  ]);
});

test('a reference, a file and a listing of a repository that git made', async (t) => {
  const { gitaly, client, repository, at } = await setUp(t);
  const content = '# ü\n'.repeat(10_000);
  const commitId = await repository.commit({ [CONFIG]: content, '.gitlab/agents/b/other.yaml': '', 'README.md': 'x' });
  await repository.git(['tag', 'v1', 'main']);
  assert.deepEqual(await client.findRef(at, 'refs/heads/main', patience()), { kind: 'found', commitId });
  assert.deepEqual(await client.findRef(at, 'HEAD', patience()), { kind: 'found', commitId });
  assert.deepEqual(await client.findRef(at, 'refs/tags/v1', patience()), { kind: 'found', commitId });
  assert.deepEqual(await client.findRef(at, 'refs/heads/other', patience()), { kind: 'not found' });
  const file = await client.readFile(at, { revision: commitId, path: CONFIG, maxBytes: 131_072 }, patience());
  assert.equal(file.toString(), content);
  assert.deepEqual(await client.listFiles(at, { revision: 'HEAD', path: '.gitlab/agents' }, patience()), [
    { path: CONFIG, commitId },
    { path: '.gitlab/agents/b/other.yaml', commitId },
  ]);
  assert.deepEqual(gitaly.problems, []);
  const [{ headers } = { headers: {} as Record<string, unknown> }] = gitaly.calls;
  assert.deepEqual(
    [headers['user-agent'], headers['gitaly-feature-x'], headers['content-type']],
    ['gitlab-kas/v1/abc', 'true', 'application/grpc'],
  );
});

test('a traced call has a span, which Gitaly hears of', async (t) => {
  const { gitaly, client, repository, at } = await setUp(t);
  await repository.commit({ 'README.md': 'x' });
  const span = new RecordingSpan();
  await client.findRef(at, 'HEAD', { ...patience(), span });
  await assert.rejects(client.readFile(at, { revision: 'HEAD', path: 'no', maxBytes: 9 }, { ...patience(), span }));
  const names = span.children.map(({ name, kind, ends }) => [name, kind, ends.length]);
  assert.deepEqual(names, [
    ['gitaly.SmartHTTPService/InfoRefsUploadPack', 'client', 1],
    ['gitaly.CommitService/TreeEntry', 'client', 1],
  ]);
  assert.deepEqual(span.children[0]?.ends, [undefined]);
  assert.notEqual(span.children[1]?.ends[0], undefined);
  assert.equal(gitaly.calls[0]?.headers.traceparent, span.children[0]?.traceparent);
  await client.findRef(at, 'HEAD', patience());
  assert.equal(gitaly.calls.at(-1)?.headers.traceparent, undefined);
});

test('a repository without commits is empty', async (t) => {
  const { client, at } = await setUp(t);
  assert.deepEqual(await client.findRef(at, 'refs/heads/main', patience()), { kind: 'empty repository' });
});

test('what is not there, is too big or is no file says so', async (t) => {
  const { client, repository, at } = await setUp(t);
  const revision = await repository.commit({ [CONFIG]: 'x'.repeat(101) });
  const read = (path: string, maxBytes = 1000) => client.readFile(at, { revision, path, maxBytes }, patience());
  const status = (name: string, text: string) => `rpc error: code = ${name} desc = ${text}`;
  const cases = [
    [
      () => read('nowhere'),
      `NotFound: TreeEntry: file/directory/ref not found: nowhere: ${status('NotFound', 'tree entry not found')}`,
    ],
    [
      () => read(CONFIG, 100),
      `FileTooBig: TreeEntry: file is too big: ${CONFIG}: ${status('FailedPrecondition', 'object size (101) is bigger than the maximum allowed size (100)')}`,
    ],
    [() => read('.gitlab'), 'UnexpectedTreeEntryType: TreeEntry.Recv: file is not a usual file: .gitlab'],
    [
      () => client.listFiles(at, { revision: 'refs/heads/nope', path: '.gitlab' }, patience()),
      `NotFound: GetTreeEntries: file/directory/ref not found: .gitlab: ${status('InvalidArgument', 'invalid revision or path')}`,
    ],
  ] as const;
  for (const [asked, message] of cases) await assert.rejects(asked(), { name: 'GitalyError', message });
});

test('UNIX sockets and TLS; a certificate that nobody here trusts is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gitaly-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const unix = await setUp(t, { listen: { socket: join(folder, 'gitaly.sock') } });
  const first = await unix.repository.commit({ a: '' });
  assert.deepEqual(await unix.client.findRef(unix.at, 'HEAD', patience()), { kind: 'found', commitId: first });

  const tls = makeTls();
  writeFileSync(join(folder, 'ca.pem'), tls.ca);
  const trusting = await setUp(t, { tls, env: { SSL_CERT_FILE: join(folder, 'ca.pem'), SSL_CERT_DIR: folder } });
  const second = await trusting.repository.commit({ a: '' });
  assert.deepEqual(await trusting.client.findRef(trusting.at, 'HEAD', patience()), { kind: 'found', commitId: second });

  const doubting = await setUp(t, { tls });
  await assert.rejects(doubting.client.findRef(doubting.at, 'HEAD', patience()), {
    name: 'GitalyError',
    message: /^RpcError: InfoRefsUploadPack: RPC failed: rpc error: code = Unavailable .*certificate/,
  });
});

test('a Gitaly that is down is named, and is used again as soon as it is back', async (t) => {
  const { gitaly, client, repository, at } = await setUp(t);
  const commitId = await repository.commit({ a: '' });
  await client.findRef(at, 'HEAD', patience());
  await gitaly.goDown();
  const place = gitaly.address.slice('tcp://'.length);
  await assert.rejects(client.findRef(at, 'HEAD', patience()), {
    message: `RpcError: InfoRefsUploadPack: RPC failed: rpc error: code = Unavailable desc = last connection error: connection error: desc = "transport: Error while dialing: dial tcp ${place}: connect: connection refused"`,
    unavailable: true,
  });
  await gitaly.comeBack();
  const found = await eventually('Gitaly', () => client.findRef(at, 'HEAD', patience()).catch(() => undefined), 2000);
  assert.deepEqual(found, { kind: 'found', commitId });
});

test('an answer that breaks off is unavailable, one that never comes ends with its caller', async (t) => {
  const { gitaly, client, repository, at } = await setUp(t);
  await repository.commit({ a: '' });
  const stopCutting = gitaly.fail('InfoRefsUploadPack', 'cut');
  await assert.rejects(client.findRef(at, 'HEAD', patience()), {
    message: /^RpcError: InfoRefsUploadPack\.Recv: RPC failed: rpc error: code = Unavailable desc = /,
    unavailable: true,
  });
  stopCutting();
  gitaly.fail('InfoRefsUploadPack', 'hang');
  const leaving = new AbortController();
  const asked = client.findRef(at, 'HEAD', { signal: leaving.signal });
  await eventually('the call', () => gitaly.calls.length === 2);
  leaving.abort(new Error('enough'));
  await assert.rejects(asked, /enough/);
  await assert.rejects(client.findRef(at, 'HEAD', { ...patience(), timeoutMs: 100 }), {
    message: /^RpcError: InfoRefsUploadPack\.Recv: RPC failed: rpc error: code = DeadlineExceeded/,
  });
});

test('a wrong token is Gitaly’s to refuse', async (t) => {
  const { gitaly, client, repository } = await setUp(t);
  await repository.commit({ a: '' });
  await assert.rejects(client.findRef(placeOf(gitaly, { token: 'another' }), 'HEAD', patience()), {
    message:
      'RpcError: InfoRefsUploadPack.Recv: RPC failed: rpc error: code = Unauthenticated desc = permission denied: wrong token',
  });
});

test('a call that could not wait for its turn is refused at once', async (t) => {
  const { client, repository, at, gitaly } = await setUp(t, {
    perServer: { refillRatePerSecond: 0.01, bucketSize: 1 },
  });
  await repository.commit({ a: '' });
  await client.findRef(at, 'HEAD', patience());
  await assert.rejects(client.findRef(at, 'HEAD', { ...patience(), timeoutMs: 1000 }), {
    message:
      'RpcError: InfoRefsUploadPack: RPC failed: rpc error: code = ResourceExhausted desc = /gitaly.SmartHTTPService/InfoRefsUploadPack is rejected by rpclimiter middleware, please retry later',
  });
  assert.equal(gitaly.calls.length, 1);
});

test('the addresses of a dns: name are used in turn, past one that is down', async (t) => {
  const asked: string[] = [];
  const lookup = () => {
    asked.push('lookup');
    return Promise.resolve(['127.0.0.2', '127.0.0.1']);
  };
  const { gitaly, client, repository } = await setUp(t, { lookup });
  const commitId = await repository.commit({ a: '' });
  const at = placeOf(gitaly, { address: gitaly.address.replace('tcp://127.0.0.1', 'dns:gitaly.example') });
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(await client.findRef(at, 'HEAD', patience()), { kind: 'found', commitId });
  }
  assert.deepEqual(asked, ['lookup']);
});

test('each of the addresses of a dns: name has every other call', async (t) => {
  const { gitaly, client, repository } = await setUp(t, { lookup: () => Promise.resolve(['127.0.0.1', '127.0.0.2']) });
  await repository.commit({ a: '' });
  const port = Number(new URL(gitaly.address).port);
  let passed = 0;
  const other = createServer((socket) => {
    const target = connect(port, '127.0.0.1');
    socket.on('data', (bytes) => {
      passed += bytes.length;
    });
    socket.on('error', () => target.destroy()).pipe(target);
    target.on('error', () => socket.destroy()).pipe(socket);
  });
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.2', resolve));
  t.after(() => other.close());
  const at = placeOf(gitaly, { address: gitaly.address.replace('tcp://127.0.0.1', 'dns:gitaly.example') });
  const wentThere: boolean[] = [];
  for (let i = 0; i < 8; i++) {
    const before = passed;
    await client.findRef(at, 'HEAD', patience());
    wentThere.push(passed - before > 100); // less are acknowledgements
  }
  const [first, second] = wentThere.slice(4);
  assert.notEqual(first, second, String(wentThere));
  assert.deepEqual(wentThere.slice(4), [first, second, first, second]);
});

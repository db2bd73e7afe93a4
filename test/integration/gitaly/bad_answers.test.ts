// What comes of a Gitaly that lies, or of something else at its address: an error in words, and a client that goes on.
import assert from 'node:assert/strict';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { TreeEntryResponse_ObjectType, TreeEntryResponseSchema } from '../../../src/gen/gitaly/gitaly_pb.ts';
import { GitalyInfoSchema, GitalyRepositorySchema } from '../../../src/gen/gitlab/agent/entity/entity_pb.ts';
import type { RepositoryAt } from '../../../src/gitaly/client.ts';
import { createGitalyClient } from '../../../src/gitaly/create_client.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { frame } from '../../support/doubles/grpc_frames.ts';

const patience = () => ({ signal: AbortSignal.timeout(10_000) });
const generous = { refillRatePerSecond: 1000, bucketSize: 1000 };
const BLOB = TreeEntryResponse_ObjectType.BLOB;

type Answer = (stream: ServerHttp2Stream) => void;

/** A client, and a server that answers every call in the way that is set. */
async function setUp(t: TestContext) {
  let answer: Answer = () => assert.fail('no answer is set');
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on('session', (session) => void sessions.add(session));
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {}).resume();
    answer(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = createGitalyClient({
    config: { globalApiRateLimit: generous, perServerApiRateLimit: generous },
    clock: systemClock,
    identity: 'gitlab-kas/v1/abc',
    env: {},
  });
  t.after(() => {
    client.close();
    server.close();
    for (const session of sessions) session.destroy();
  });
  const at: RepositoryAt = {
    gitaly: create(GitalyInfoSchema, { address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` }),
    repository: create(GitalyRepositorySchema, { storageName: 'default', relativePath: 'p/1.git' }),
  };
  return {
    read: (played: Answer) => {
      answer = played;
      return client.readFile(at, { revision: 'main', path: 'f', maxBytes: 100 }, patience());
    },
    find: (played: Answer) => {
      answer = played;
      return client.findRef(at, 'refs/heads/main', patience());
    },
  };
}

/** Bytes as messages of gRPC, then OK. */
function says(...frames: Uint8Array[]): Answer {
  return (stream) => {
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.end(Buffer.concat(frames));
  };
}

function entry(message: MessageInitShape<typeof TreeEntryResponseSchema>): Buffer {
  return frame(toBinary(TreeEntryResponseSchema, create(TreeEntryResponseSchema, message)));
}

/** InfoRefsResponse and TreeEntryResponse have their bytes in other fields. */
function refs(text: string): Buffer {
  const data = Buffer.from(text);
  return frame(Buffer.concat([Buffer.from([0x0a, data.length]), data]));
}

test('a file is as big as it is, not as Gitaly says', async (t) => {
  const { read } = await setUp(t);
  const small = { type: BLOB, size: 10n, data: Buffer.alloc(60) };
  await assert.rejects(read(says(entry(small), entry({ data: Buffer.alloc(60) }))), {
    message: 'FileTooBig: TreeEntry.Recv: file is too big: f: Gitaly sent more than the maximum allowed size (100)',
  });
  assert.equal((await read(says(entry({ ...small, size: 2n ** 62n })))).length, 60);
});

test('messages that are none', async (t) => {
  const { read } = await setUp(t);
  const failed = (code: string, text: string) => ({
    message: `RpcError: TreeEntry.Recv: RPC failed: f: rpc error: code = ${code} desc = ${text}`,
  });
  const unmarshal = 'grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data';
  await assert.rejects(read(says(frame(Buffer.from('ffff', 'hex')))), failed('Internal', unmarshal));
  const gibibyte = Buffer.from([0, 0x40, 0, 0, 0]);
  await assert.rejects(
    read(says(gibibyte)),
    failed('ResourceExhausted', `grpc: received message larger than max (${1 << 30} vs. ${4 << 20})`),
  );
  // Half a message and OK is no missing file, which would be an empty configuration.
  await assert.rejects(read(says(Buffer.from([0, 0, 0, 0, 9, 1]))), failed('Internal', 'unexpected EOF'));
  const bomb = gzipSync(Buffer.alloc(64 << 20));
  const prefix = Buffer.from([1, 0, 0, 0, 0]);
  prefix.writeUInt32BE(bomb.length, 1);
  await assert.rejects(read(says(prefix, bomb)), /^GitalyError: RpcError: TreeEntry\.Recv: RPC failed: f: /);
  assert.equal((await read(says(entry({ type: BLOB })))).length, 0, 'the client goes on');
});

test('something that is no Gitaly', async (t) => {
  const { find } = await setUp(t);
  const web =
    (status: number, headers = {}): Answer =>
    (stream) => {
      stream.respond({ ':status': status, 'content-type': 'text/html', ...headers });
      stream.end('<html>');
    };
  for (const [status, code] of [
    [200, 'Unknown'],
    [302, 'Unknown'],
    [404, 'Unknown'],
    [503, 'Unavailable'],
  ] as const) {
    const text = `unexpected HTTP status code received from server: ${status}; content-type "text/html"`;
    await assert.rejects(find(web(status, { location: 'http://elsewhere/' })), {
      message: `RpcError: InfoRefsUploadPack.Recv: RPC failed: rpc error: code = ${code} desc = ${text}`,
      unavailable: status === 503,
    });
  }
});

test('a discovery of references that is none', async (t) => {
  const { find } = await setUp(t);
  const service = '001e# service=git-upload-pack\n0000';
  for (const [text, problem] of [
    ['<html>', 'invalid packet length "<htm"'],
    ['fffff', 'packet of 65535 bytes is too long'],
    ['0009hello', 'unexpected header "hello"'],
    [`${service}0005x`, 'invalid first reference line'],
    [`${service}00`, 'discovery ended prematurely'],
  ] as const) {
    await assert.rejects(find(says(refs(text))), {
      message: `ProtocolError: failed to parse reference discovery: ${problem}`,
    });
  }
  const commitId = 'a'.repeat(40);
  const good = `${commitId} refs/heads/main\0agent`;
  const packet = (good.length + 4).toString(16).padStart(4, '0') + good;
  assert.deepEqual(await find(says(refs(`${service}${packet}0000`))), { kind: 'found', commitId });
});

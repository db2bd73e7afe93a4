// observability.logging.grpc_level: lines about gRPC connections (docs/protocol/logs.md, connections).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addressOf } from '../support/endpoint.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { frame } from '../support/hostile/frames.ts';
import { RawHttp2 } from '../support/hostile/raw_http2.ts';
import type { ConfigTree } from '../support/kas_config.ts';
import { type LogLine, type RunningServer, startServer } from '../support/server.ts';
import { grpcInWebSocket } from '../support/websocket.ts';

const SETTINGS = 4;

let gitlab: FakeGitLab;
before(async () => {
  gitlab = await startGitLab();
});
after(() => gitlab.close());

function startAt(grpcLevel: string | undefined, server: ConfigTree = {}): Promise<RunningServer> {
  const levels = { level: 'info', ...(grpcLevel !== undefined && { grpc_level: grpcLevel }) };
  return startServer({ gitlab, config: { server, observability: { logging: levels } } });
}

const ofConnections = ({ msg }: LogLine) => msg.startsWith('gRPC connection ');

/** A client that comes and goes, and one that breaks the protocol: SETTINGS of another length than there is. */
async function comeAndBreak(server: RunningServer): Promise<void> {
  const polite = await grpcConnection(server.endpoints.agent);
  await new Promise((resolve) => polite.session.ping(resolve));
  polite.close();
  const rude = await RawHttp2.connect(server.endpoints.privateApi);
  await rude.send(frame(SETTINGS, 0, 0, Buffer.alloc(4)));
  await rude.closed;
}

test('at info connections come and go, with who ended them and why', async () => {
  const server = await startAt('info');
  const { agent, privateApi } = server.endpoints;
  await comeAndBreak(server);
  const find = (what: string, address: string) =>
    server.waitForLog(`of one ${what}`, (line) => line.msg === what && line.net_address === address);
  const accepted = await find('gRPC connection accepted', addressOf(agent));
  assert.deepEqual([accepted.level, accepted.remote_address], ['info', '127.0.0.1']);
  const closed = await find('gRPC connection closed', addressOf(agent));
  assert.deepEqual([closed.level, closed.closed_by], ['info', 'client']);
  assert.ok(Number(closed.bytes_in) > 24 && Number(closed.bytes_out) > 9 && Number(closed.duration_ms) >= 0);
  const broken = await find('gRPC connection broken', addressOf(privateApi));
  assert.equal(broken.level, 'warn');
  assert.ok(String(broken.error).length > 0);
  await server.stop();
});

test('in a WebSocket, too; and ended by us, when nobody has said in time who is there', async () => {
  const server = await startAt('debug', { limits: { unauthenticated_time: '1s' } });
  const agent = await grpcInWebSocket(server.endpoints.agent);
  await new Promise((resolve) => agent.session.once('close', resolve));
  const closed = await server.waitForLog('of the end', ({ msg }) => msg === 'gRPC connection closed');
  assert.deepEqual([closed.is_websocket, closed.closed_by], [true, 'us']);
  await server.stop();
});

test('at debug, that clients are sent away', async () => {
  const server = await startAt('debug');
  const client = await grpcConnection(server.endpoints.agent);
  await new Promise((resolve) => client.session.ping(resolve));
  await server.stop();
  const told = server.log.filter(({ msg }) => msg === 'GOAWAY sent');
  assert.deepEqual(
    told.map(({ level, net_address, remote_address }) => [level, net_address, remote_address]),
    [['debug', addressOf(server.endpoints.agent), '127.0.0.1']],
  );
  client.close();
});

for (const [level, expected] of [
  ['warn', ['gRPC connection broken']],
  ['error', []],
  [undefined, []],
] as const) {
  test(`at ${level ?? 'its default'} there is ${expected.length === 0 ? 'nothing' : 'what breaks only'}`, async () => {
    const server = await startAt(level);
    await comeAndBreak(server);
    await server.stop();
    assert.deepEqual(
      server.log.filter(ofConnections).map(({ msg }) => msg),
      expected,
    );
  });
}

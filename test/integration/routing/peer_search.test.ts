// A search for a tunnel at other nodes, which are played: real sockets, real HTTP/2.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { after, test } from 'node:test';
import { NodeTokens } from '../../../src/auth/node_token.ts';
import { Secret } from '../../../src/config/secret.ts';
import type { Call } from '../../../src/grpc/call.ts';
import { WindowBudget } from '../../../src/net/windows.ts';
import { KnownNodes } from '../../../src/routing/known_nodes.ts';
import { PeerSearch } from '../../../src/routing/peer_search.ts';
import { Peers } from '../../../src/routing/peers.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { RecordingSink } from '../../support/doubles/recording_sink.ts';
import { freePort } from '../../support/endpoint.ts';
import { type PlayedCall, playNode } from '../../support/played_node.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { eventually } from '../../support/wait.ts';

const METHOD = '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';
const OWN = 'grpc://127.0.0.1:1';

const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

async function node(onCall: (call: PlayedCall) => void = () => {}) {
  const played = await playNode(onCall);
  closing.push(() => played.close());
  return played;
}

const ready = (call: PlayedCall) => call.says({ case: 'tunnelReady', value: {} });
const noTunnel = (call: PlayedCall) => call.says({ case: 'noTunnel', value: {} });

function setUp(urls: readonly string[]) {
  const scope = new Scope(systemClock);
  closing.push(() => scope.close());
  const { log, lines } = recordingLog();
  const directory = {
    urls,
    reads: 0,
    nodesOf() {
      directory.reads++;
      return Promise.resolve(directory.urls);
    },
  };
  const peers = new Peers({
    ownUrls: [OWN],
    tokens: new NodeTokens(new Secret(Buffer.alloc(32, 1)), systemClock),
    tls: { secureContext: () => assert.fail('no TLS here'), serverName: '' },
    userAgent: 'gitlab-kas/v1/abc',
    windows: new WindowBudget({ perConnectionBytes: 1 << 20, totalBytes: 1 << 20 }),
    scope,
    random: systemRandom,
    log,
  });
  const nodes = new KnownNodes(directory, { scope, log });
  const search = () => {
    const sink = new RecordingSink();
    const state = { url: undefined as string | undefined, call: undefined as Call | undefined };
    const looking = new PeerSearch({
      agentId: 42n,
      method: METHOD,
      metadata: new Map([['traceparent', ['00-1-2-01']]]),
      peers,
      nodes,
      scope,
      random: systemRandom,
      log,
      found(stream, url) {
        state.url = url;
        state.call = stream.start(sink);
      },
    });
    closing.push(() => looking.stop());
    return { sink, state, looking, found: () => eventually('a tunnel', () => state.call) };
  };
  return { directory, peers, lines, search };
}

test('a call goes through the tunnel of another node, both ways', async () => {
  const other = await node((call) => ready(call));
  const { search, directory } = setUp([OWN, other.url]);
  const { sink, found } = search();
  const call = await found();
  const [played] = other.calls;
  assert.ok(played);
  assert.equal(played.headers[':path'], METHOD);
  assert.equal(played.headers['kas-hop-routing-agent-id'], '42');
  assert.equal(played.headers.traceparent, '00-1-2-01');
  assert.match(String(played.headers.authorization), /^Bearer ey/);
  assert.deepEqual(played.heard, [], 'nothing is sent before the tunnel is taken');
  call.write(Buffer.from('one'), true);
  call.write(Buffer.from('two'), true);
  call.halfClose();
  await eventually('the request', () => played.state.halfClosed);
  assert.deepEqual(played.heard, ['', 'one', 'two']);
  played.says({ case: 'header', value: { meta: { a: { value: ['b'] } } } }, { gzip: true });
  played.says({ case: 'message', value: { data: Buffer.from('answer') } }, { gzip: true });
  played.says({ case: 'trailer', value: {} });
  played.ends();
  await eventually('the end', () => sink.ended);
  assert.deepEqual(sink.heard, ['header a=b', 'message answer', 'trailer ', 'end 0 ']);
  assert.equal(directory.reads, 1, 'the directory is not read any more');
});

test('a node that is remembered is asked without reading the directory', async () => {
  const other = await node((call) => ready(call));
  const { search, directory } = setUp([other.url]);
  await search().found();
  await search().found();
  assert.deepEqual([directory.reads, other.calls.length, other.sessions.size], [1, 2, 1]);
});

test('a node without a tunnel is not waited for: the next one is asked at once, and the first is told', async () => {
  const first = await node((call) => noTunnel(call));
  const second = await node((call) => ready(call));
  const { search } = setUp([first.url, second.url]);
  const { found, state } = search();
  await found();
  assert.equal(state.url, second.url);
  await eventually('the loser to be cancelled', () => first.calls[0]?.state.resetCode === 8);
});

test('a node that finds a tunnel later wins, too', async () => {
  const other = await node((call) => {
    noTunnel(call);
    setTimeout(() => ready(call), 200);
  });
  const { search } = setUp([other.url]);
  const { found } = search();
  await found();
  assert.equal(other.calls.length, 1);
});

test('a node that is down costs one try, and the next searches none', async () => {
  const dead = `grpc://127.0.0.1:${await freePort()}`;
  const other = await node((call) => ready(call));
  const { search, lines } = setUp([dead, other.url]);
  await search().found();
  await search().found();
  const told = lines.filter(({ message }) => message === 'Failed to dial kas');
  assert.equal(told.length, 1);
  assert.match(String(told[0]?.fields.error), /ECONNREFUSED/);
  assert.match(String(told[0]?.fields.hint), /OWN_PRIVATE_API_URL/);
  const tries = lines.filter(({ message, fields }) => message === 'Trying tunnel' && fields.kas_url === dead);
  assert.equal(tries.length, 1);
});

test('a node that accepts and says nothing holds nobody up, and is left', { timeout: 20_000 }, async () => {
  const sockets = new Set<{ destroy(): void }>();
  const silent = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.resume();
  });
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const url = `grpc://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const other = await node((call) => ready(call));
  const { search, lines } = setUp([url, other.url]);
  await search().found();
  await eventually(
    'the silent node to be given up',
    () =>
      lines.some(
        ({ message, fields }) => message === 'Failed to dial kas' && /does not answer/.test(String(fields.error)),
      ),
    10_000,
  );
  await eventually('its connection to be closed', () => sockets.size === 0);
});

test('nodes that do not take the token are told of in words that say why, once', async () => {
  const other = await node((call) => call.refuses(16, 'JWT validation failed'));
  const { search, lines } = setUp([other.url]);
  const { looking } = search();
  await eventually('a second try', () => other.calls.length >= 2);
  looking.stop();
  const told = lines.filter(({ level }) => level === 'error');
  assert.equal(told.length, 1);
  assert.match(String(told[0]?.message), /private API secrets/);
  assert.match(String(told[0]?.fields.hint), /private_api\.listen\.authentication_secret_file/);
});

test('what is no answer of a node is refused: order, shape, size', async () => {
  const answers: [(call: PlayedCall) => void, RegExp][] = [
    [(call) => call.says({ case: 'message', value: { data: Buffer.from('x') } }), /transition from -2 to 3/],
    [
      (call) => {
        noTunnel(call);
        noTunnel(call);
      },
      /transition from 6 to 6 is not allowed\. Allowed: \[-1 1\]/,
    ],
    [(call) => call.stream.respond({ ':status': 502 }, { endStream: true }), /502/],
  ];
  for (const [answer, expected] of answers) {
    const other = await node(answer);
    const { search, lines } = setUp([other.url]);
    const { looking } = search();
    if (expected.source !== '502') {
      await eventually('the log', () => lines.some(({ fields }) => expected.test(String(fields.error))));
    } else await eventually('another try', () => other.calls.length >= 2);
    looking.stop();
  }
});

test('a connection that breaks in the middle of an answer ends the call', async () => {
  const other = await node((call) => ready(call));
  const { search } = setUp([other.url]);
  const { found, sink } = search();
  (await found()).write(Buffer.from('x'));
  await eventually('the request', () => other.calls[0]?.heard.length === 2);
  other.calls[0]?.says({ case: 'header', value: {} });
  await eventually('the header', () => sink.heard.length === 1);
  for (const session of other.sessions) session.destroy();
  await eventually('the end', () => sink.ended);
  assert.equal(sink.ended?.code, StatusCode.Unavailable);
  assert.equal(sink.ends, 1);
});

test('an answer that stops too early is an error', async () => {
  const other = await node((call) => ready(call));
  const { search } = setUp([other.url]);
  const { found, sink } = search();
  (await found()).halfClose();
  const [played] = other.calls;
  played?.says({ case: 'header', value: {} });
  played?.ends();
  await eventually('the end', () => sink.ended);
  assert.deepEqual(sink.ended, {
    code: StatusCode.InvalidArgument,
    message: 'transition from 2 to -1 is not allowed. Allowed: [3 4]',
  });
});

test('a node that leaves finishes what runs; new calls get a new connection', async () => {
  const other = await node((call) => ready(call));
  const { search } = setUp([other.url]);
  const running = search();
  (await running.found()).write(Buffer.from('x'));
  await eventually('the request', () => other.calls[0]?.heard.length === 2);
  for (const session of other.sessions) session.close();
  await search().found();
  assert.equal(other.sessions.size, 2);
  const [played] = other.calls;
  played?.says({ case: 'header', value: {} });
  played?.says({ case: 'trailer', value: {} });
  played?.ends();
  await eventually('the end', () => running.sink.ended);
  assert.equal(running.sink.ended?.code, StatusCode.OK);
});

test('a reader that stops stops the node; cancelling a stopped call tells it', async () => {
  const other = await node((call) => ready(call));
  const { search } = setUp([other.url]);
  const { found, sink } = search();
  const call = await found();
  call.halfClose();
  const [played] = other.calls;
  assert.ok(played);
  played.says({ case: 'header', value: {} });
  await eventually('the header', () => sink.heard.length === 1);
  call.pause();
  for (let i = 0; i < 100; i++) played.says({ case: 'message', value: { data: Buffer.alloc(64 << 10) } });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(sink.heard.length, 1);
  assert.ok(played.stream.writableLength > 3 << 20, 'the node is left with what it has');
  call.cancel({ code: StatusCode.Canceled, message: '' });
  await eventually('the cancellation', () => played.state.resetCode === 8);
  assert.equal(sink.ended, undefined);
});

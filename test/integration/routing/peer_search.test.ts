// A search for a tunnel at other nodes, which are played: real sockets, real HTTP/2.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { createSecureContext, createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { NodeTokens } from '../../../src/auth/node_token.ts';
import { Secret } from '../../../src/config/secret.ts';
import type { Call } from '../../../src/grpc/call.ts';
import { OutgoingLog } from '../../../src/net/outgoing_log.ts';
import { WindowBudget } from '../../../src/net/windows.ts';
import { KnownNodes } from '../../../src/routing/known_nodes.ts';
import { PeerSearch } from '../../../src/routing/peer_search.ts';
import { Peers } from '../../../src/routing/peers.ts';
import { AppError } from '../../../src/runtime/app_error.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { RecordingSink } from '../../support/doubles/recording_sink.ts';
import { freePort } from '../../support/endpoint.ts';
import { type PlayedCall, playNode } from '../../support/played_node.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { delay, eventually } from '../../support/wait.ts';

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

/** @param tls what this node trusts, where others speak TLS */
function setUp(urls: readonly string[], tls?: { readonly ca: string | (() => string); readonly serverName: string }) {
  const scope = new Scope(systemClock);
  closing.push(() => scope.close());
  const { log, lines } = recordingLog();
  const connections = recordingLog();
  const failures: string[] = [];
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
    tls: {
      secureContext() {
        assert.ok(tls, 'no TLS here');
        return createSecureContext({ ca: typeof tls.ca === 'string' ? tls.ca : tls.ca() });
      },
      serverName: tls?.serverName ?? '',
    },
    userAgent: 'gitlab-kas/v1/abc',
    windows: new WindowBudget({ perConnectionBytes: 1 << 20, totalBytes: 1 << 20 }),
    outgoing: new OutgoingLog(connections.log, systemClock),
    onFailure: (reason) => failures.push(reason),
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
      trail: () => ({ correlation_id: 'the-request' }),
      found(stream, url) {
        state.url = url;
        state.call = stream.start(sink);
      },
    });
    closing.push(() => looking.stop());
    return { sink, state, looking, found: () => eventually('a tunnel', () => state.call) };
  };
  return { directory, peers, lines, connections: connections.lines, failures, search };
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
  // A slow machine may have read it again before the node answered.
  const { reads } = directory;
  await delay(300);
  assert.equal(directory.reads, reads, 'the directory is not read any more');
});

test('a node that is remembered is asked without reading the directory', async () => {
  const other = await node((call) => ready(call));
  const { search, directory } = setUp([other.url]);
  await search().found();
  await search().found();
  assert.deepEqual([other.calls.length, other.sessions.size], [2, 1]);
  assert.ok(directory.reads <= 2, 'the first search reads it, and perhaps a slow machine once more');
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
  const { search, lines, connections, failures } = setUp([dead, other.url]);
  await search().found();
  await search().found();
  assert.deepEqual(failures, ['unreachable']);
  const missed = await eventually('the line', () =>
    connections.find(({ message }) => message === 'gRPC connection to a server not made'),
  );
  assert.deepEqual([missed.fields.kas_url, missed.level], [dead, 'warn']);
  const told = lines.filter(({ message }) => message === 'Failed to dial kas');
  assert.equal(told.length, 1);
  assert.match(String(told[0]?.fields.error), /ECONNREFUSED/);
  assert.match(String(told[0]?.fields.hint), /OWN_PRIVATE_API_URL/);
  const tries = lines.filter(({ message, fields }) => message === 'Trying tunnel' && fields.kas_url === dead);
  assert.equal(tries.length, 1);
});

/** Something on a port that is no node: it does with a connection what it likes. */
async function something(onConnection: (socket: Socket) => void, tls?: TlsOptions) {
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.resume();
    onConnection(socket);
  };
  const server = tls === undefined ? createTcpServer(accept) : createTlsServer(tls, accept);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { sockets, port: (server.address() as AddressInfo).port };
}

test('a node that accepts and says nothing holds nobody up, and is left', { timeout: 20_000 }, async () => {
  const { sockets, port } = await something(() => {});
  const url = `grpc://127.0.0.1:${port}`;
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

/** A node in a thread of its own: it answers pings 300 ms later, and nothing else. */
const PINGED = `
const { parentPort } = require('node:worker_threads');
const server = require('node:net').createServer((socket) => {
  socket.on('error', () => {});
  socket.write(Buffer.from('000000040000000000', 'hex'));
  let read = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    read = Buffer.concat([read, chunk]);
    if (read.subarray(0, 3).toString() === 'PRI') read = read.subarray(24);
    while (read.length >= 9 && read.length >= 9 + read.readUIntBE(0, 3)) {
      const frame = read.subarray(0, 9 + read.readUIntBE(0, 3));
      read = read.subarray(frame.length);
      if (frame[3] !== 6 || frame[4] !== 0) continue;
      const answer = Buffer.from(frame);
      answer[4] = 1;
      parentPort.postMessage('pinged');
      setTimeout(() => socket.write(answer), 300);
    }
  });
});
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

test('an answer that came while this process had no time to read it counts', { timeout: 20_000 }, async () => {
  const thread = new Worker(PINGED, { eval: true });
  closing.push(() => thread.terminate());
  const [port] = await once(thread, 'message');
  const { search, lines } = setUp([`grpc://127.0.0.1:${port}`]);
  search();
  assert.deepEqual(await once(thread, 'message'), ['pinged']);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500); // the event loop stands still
  await delay(500);
  assert.deepEqual(
    lines.filter(({ message }) => message === 'Failed to dial kas'),
    [],
  );
});

test('a node that takes its time for the TLS handshake is waited for', { timeout: 20_000 }, async () => {
  const { sockets, port } = await something(() => {});
  const { search, lines } = setUp([`grpcs://127.0.0.1:${port}`], { ca: certificate.cert, serverName: 'localhost' });
  search();
  await eventually('the connection', () => sockets.size === 1);
  await delay(4000); // a node that is connected and does not answer would have been given up
  assert.equal(sockets.size, 1);
  assert.deepEqual(
    lines.filter(({ message }) => message === 'Failed to dial kas'),
    [],
  );
});

const settings = Buffer.from('000000040000000000', 'hex');
const certificate = makeCertificate();
const http1 = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n';
const doubtful: {
  what: string;
  scheme: string;
  says: (socket: Socket) => void;
  tls?: true;
  error: RegExp;
  hint: RegExp;
}[] = [
  {
    what: 'that answers in HTTP/1.1',
    scheme: 'grpc',
    says: (socket) => void socket.end(http1),
    error: /not HTTP\/2/,
    hint: /OWN_PRIVATE_API_SCHEME to grpcs/,
  },
  {
    what: 'that hangs up',
    scheme: 'grpc',
    says: (socket) => void socket.end(),
    error: /closed before/,
    hint: /OWN_PRIVATE_API_SCHEME/,
  },
  {
    what: 'that speaks TLS where its URL says none',
    scheme: 'grpc',
    says: () => {},
    tls: true,
    error: /Protocol error|closed before|ECONNRESET/,
    hint: /./,
  },
  {
    what: 'that speaks no TLS where its URL says so',
    scheme: 'grpcs',
    says: (socket) => void socket.end(http1),
    error: /wrong version number/,
    hint: /OWN_PRIVATE_API_SCHEME to grpc$/,
  },
  {
    what: 'that greets and then sends garbage',
    scheme: 'grpc',
    says: (socket) => {
      socket.write(settings);
      socket.once('data', () => socket.write(Buffer.alloc(4096, 0xff)));
    },
    error: /./,
    hint: /./,
  },
];
for (const { what, scheme, says, tls, error, hint } of doubtful) {
  test(`something ${what} is told of once, with what to do, and costs no other node anything`, async () => {
    const { port, sockets } = await something(says, tls && certificate);
    const url = `${scheme}://127.0.0.1:${port}`;
    const other = await node((call) => setTimeout(() => ready(call), 300));
    const { search, lines } = setUp([url, other.url], { ca: certificate.cert, serverName: 'localhost' });
    await search().found();
    await search().found();
    const told = await eventually('the news', () => {
      const found = lines.filter(({ level, fields }) => level === 'error' && fields.kas_url === url);
      return found.length > 0 && found;
    });
    assert.equal(told.length, 1);
    assert.equal(told[0]?.message, 'Failed to dial kas');
    assert.match(String(told[0]?.fields.error), error);
    assert.match(String(told[0]?.fields.hint), hint);
    await eventually('its connections to be closed', () => sockets.size === 0);
  });
}

test('TLS with a CA that is known, by the name that all nodes have', async () => {
  const server = await node(ready);
  const { port } = await something(
    (socket) => {
      const way = connectTcp(Number(new URL(server.url.replace('grpc', 'http')).port), '127.0.0.1');
      way.on('error', () => socket.destroy());
      socket.pipe(way).pipe(socket);
    },
    { ...certificate, ALPNProtocols: ['h2'] },
  );
  const { search, lines } = setUp([`grpcs://127.0.0.1:${port}`], { ca: certificate.cert, serverName: 'localhost' });
  const { found, state } = search();
  await found();
  assert.match(String(state.url), /^grpcs:/);
  assert.deepEqual(
    lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('CA certificates that cannot be used are told of once, as what they are, and looked at again', async () => {
  const { port, sockets } = await something(() => {});
  let broken = true;
  const ca = () => {
    if (broken) throw new AppError(StatusCode.InvalidArgument, 'CA certificate file /ca.crt: no PEM certificate in it');
    return certificate.cert;
  };
  const url = `grpcs://localhost:${port}`;
  const other = await node((call) => setTimeout(() => ready(call), 1000));
  const { search, lines } = setUp([url, other.url], { ca, serverName: 'localhost' });
  await search().found();
  await search().found();
  assert.deepEqual(
    lines.filter(({ level }) => level !== 'debug').map(({ level, message, fields }) => ({ level, message, ...fields })),
    [
      {
        level: 'error',
        message: 'Failed to dial kas',
        kas_url: url,
        error: 'CA certificate file /ca.crt: no PEM certificate in it',
        hint: 'repair private_api.listen.ca_certificate_file: it is looked at again',
      },
    ],
  );
  broken = false;
  await eventually('a try when it has been repaired', async () => {
    await search().found();
    return sockets.size > 0;
  });
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

/** Answers with these bytes for messages. */
function garbles(call: PlayedCall, bytes: Buffer): void {
  call.stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-encoding': 'gzip' });
  call.stream.write(bytes);
}

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
    [(call) => garbles(call, Buffer.from('000000000208ff', 'hex')), /failed to unmarshal/],
    [(call) => garbles(call, Buffer.from('0000000000', 'hex')), /invalid GatewayKasResponse\.Msg: value is required/],
    [
      (call) => garbles(call, Buffer.from('01000000056162636465', 'hex')),
      /failed to decompress the received message: unexpected EOF/,
    ],
    [(call) => garbles(call, Buffer.from('00ffffffff', 'hex')), /larger than max/],
    [(call) => garbles(call, Buffer.from('0700000000', 'hex')), /./],
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

test('a connection that is cut is told of, and counts', async () => {
  const other = await node((call) => ready(call));
  const { search, connections, failures } = setUp([other.url]);
  await search().found();
  for (const session of other.sessions) (session.socket as unknown as Socket).resetAndDestroy();
  const lost = await eventually('the line', () =>
    connections.find(({ message }) => message === 'gRPC connection to a server lost'),
  );
  assert.match(String(lost.fields.error), /ECONNRESET/);
  assert.deepEqual(failures, ['reset']);
});

test('a node that leaves finishes what runs; new calls get a new connection', async () => {
  const other = await node((call) => ready(call));
  const { search, connections, failures } = setUp([other.url]);
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
  await eventually('the end of its connection', () => other.sessions.size === 1);
  const closed = 'gRPC connection to a server closed';
  await eventually('the line', () => connections.some(({ message }) => message === closed));
  const opened = 'gRPC connection to a server opened';
  assert.deepEqual(
    connections.map(({ message }) => message),
    [opened, 'GOAWAY received', opened, closed],
  );
  assert.deepEqual(failures, [], 'nothing has failed');
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

test('a reader that stops after each message gets all of them, and the end after the last', async () => {
  const other = await node((call) => ready(call));
  const { search } = setUp([other.url]);
  const { found, sink } = search();
  const call = await found();
  call.halfClose();
  const pieces = 300;
  sink.onMessage = () => {
    call.pause();
    setTimeout(() => call.resume(), 1);
  };
  const [played] = other.calls;
  assert.ok(played);
  played.says({ case: 'header', value: {} });
  for (let i = 0; i < pieces; i++) played.says({ case: 'message', value: { data: Buffer.alloc(8 << 10) } });
  played.says({ case: 'trailer', value: {} });
  played.ends();
  await eventually('the end', () => sink.ended);
  assert.deepEqual(sink.ended, { code: StatusCode.OK, message: '' });
  assert.equal(sink.heard.filter((line) => line.startsWith('message ')).length, pieces);
  assert.equal(sink.ends, 1);
});

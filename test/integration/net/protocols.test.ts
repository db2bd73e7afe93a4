import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { type TestContext, test } from 'node:test';
import { WindowBudget } from '../../../src/net/windows.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { rawConnection, rawExchange } from '../../support/http1.ts';
import { eventually } from '../../support/wait.ts';
import { FrameClient } from './frame_client.ts';
import { echoHandlers, open, openWithWebSocket } from './setup.ts';

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const emptySettings = '\0\0\0\x04\0\0\0\0\0';

async function session(t: TestContext, endpoint: Endpoint): Promise<ClientHttp2Session> {
  const client = connect(`http://127.0.0.1:${endpoint.port}`);
  client.on('error', () => {});
  t.after(() => client.destroy());
  await once(client, 'remoteSettings');
  return client;
}

async function bodyOf(client: ClientHttp2Session, headers: Record<string, string> = {}): Promise<string> {
  let body = '';
  for await (const chunk of client.request({ ':path': '/x', ...headers })) body += chunk;
  return body;
}

test('HTTP/1.1 and HTTP/2 share a port', async (t) => {
  const { endpoint } = await open(t, echoHandlers);
  assert.equal(await bodyOf(await session(t, endpoint)), 'HTTP/2 GET /x');
  assert.match(await rawExchange(endpoint, 'GET /y HTTP/1.0\r\n\r\n'), /\r\n\r\nHTTP\/1\.1 GET \/y$/);
});

test('a preface that arrives byte by byte is recognised, and so is what only begins like one', async (t) => {
  const { endpoint } = await open(t, echoHandlers);
  const slow = await FrameClient.connect(endpoint);
  t.after(() => slow.socket.destroy());
  slow.socket.setNoDelay(true);
  for (const byte of preface + emptySettings) {
    slow.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await slow.read(9))[3], 4); // SETTINGS
  assert.match(await rawExchange(endpoint, 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'), /^HTTP\/1\.1 400 /);
});

test('a connection that stays silent, or ends, before its protocol is known is closed', async (t) => {
  const clock = new FakeClock();
  const { endpoint, front } = await open(t, echoHandlers, { clock });
  const silent = await rawConnection(endpoint);
  const half = await rawConnection(endpoint);
  half.write('PRI * HTTP');
  const ended = await rawConnection(endpoint);
  ended.socket.end('PRI * HTTP/2.0\r\n');
  assert.equal(await ended.readToEnd(), '');
  await eventually('both connections', () => clock.pendingTimers === 2);
  clock.advance(10_000);
  await Promise.all([silent.closed, half.closed, front.whenIdle()]);
});

test('half a request is given up: slow clients hold nothing for ever', async (t) => {
  const { endpoint } = await open(t, echoHandlers, { http1: { headersTimeoutMs: 300 } });
  const slow = await rawConnection(endpoint);
  slow.write('GET / HTTP/1.1\r\nHost: a\r\nX: ');
  assert.equal(await slow.readToEnd(), '');
});

for (const [name, bytes, status, body] of [
  ['no HTTP at all', 'hello\r\n\r\n', '400 Bad Request', '400 Bad Request'],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', '400 Bad Request: missing required Host header', undefined],
  [
    'a bad header name',
    'GET / HTTP/1.1\r\nHost: a\r\nb c: d\r\n\r\n',
    '400 Bad Request: invalid header name',
    undefined,
  ],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', '400 Bad Request: too many Host headers', undefined],
  [
    'the same Host twice',
    'GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n',
    '400 Bad Request: too many Host headers',
    undefined,
  ],
  ['a Host that is none', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', '400 Bad Request: malformed Host header', undefined],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    '400 Bad Request',
    undefined,
  ],
  [
    'an encoding besides chunked',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    '501 Not Implemented',
    'Unsupported transfer encoding',
  ],
  [
    'the version of another protocol',
    'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
    '505 HTTP Version Not Supported: unsupported protocol version',
    undefined,
  ],
  ['no version', 'GET /\r\n\r\n', '400 Bad Request', undefined],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    '400 Bad Request',
    undefined,
  ],
  [
    'a head of 2 MiB',
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(2 << 20)}\r\n\r\n`,
    '431 Request Header Fields Too Large',
    undefined,
  ],
] as const) {
  test(`a request with ${name} is refused in words`, async (t) => {
    const { endpoint } = await open(t, echoHandlers);
    const [head = '', text] = (await rawExchange(endpoint, bytes)).split('\r\n\r\n');
    assert.equal(head.split('\r\n')[0], `HTTP/1.1 ${status}`);
    assert.match(head, /\r\nContent-Type: text\/plain; charset=utf-8\r\nConnection: close$/);
    assert.equal(text, body ?? status);
  });
}

test('a header of 1 MB is taken, and thousands of them', async (t) => {
  const { endpoint } = await open(t, {
    request: (req, res) => void res.end(`${req.headers.x?.length} ${req.rawHeaders.length}`),
  });
  const end = 'Connection: close\r\n\r\n';
  const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(1_000_000)}\r\n${end}`;
  assert.match(await rawExchange(endpoint, long), /\r\n\r\n1000000 6$/);
  const many = `GET / HTTP/1.1\r\nHost: a\r\n${'Y: z\r\n'.repeat(5000)}${end}`;
  assert.match(await rawExchange(endpoint, many), /\r\n\r\nundefined 10004$/);
});

test('without HTTP/1.1, such a client gets SETTINGS and the end', async (t) => {
  const { endpoint } = await open(t, { stream: echoHandlers.stream });
  const client = await FrameClient.connect(endpoint);
  assert.equal((await client.read(9))[3], 4); // before a word from the client
  client.write('GET / HTTP/1.1\r\nHost: kas.example\r\n\r\n');
  await client.closed();
  assert.equal(await bodyOf(await session(t, endpoint)), 'HTTP/2 GET /x');
});

test('no authority harms anybody', async (t) => {
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream);
  const client = await session(t, endpoint);
  for (const authority of ['a:99999', 'wss:%2F%2Fkas.example.com', '::', '%']) {
    assert.equal(await bodyOf(client, { ':authority': authority }), 'HTTP/2 GET /x', authority);
  }
});

test('a stream handler that throws costs its stream, not the connection', async (t) => {
  let calls = 0;
  const { endpoint } = await open(t, {
    stream(stream, headers, raw, managed) {
      if (++calls === 1) throw new Error('defect');
      echoHandlers.stream(stream, headers, raw, managed);
    },
  });
  const client = await session(t, endpoint);
  await assert.rejects(bodyOf(client), /NGHTTP2_INTERNAL_ERROR/);
  assert.equal(await bodyOf(client), 'HTTP/2 GET /x');
});

test('an old connection gets GOAWAY; streams go on and learn of the age; the end is hard', async (t) => {
  const clock = new FakeClock();
  const events: string[] = [];
  const { endpoint } = await open(
    t,
    {
      stream(stream, _headers, _raw, managed) {
        stream.sendHeaders({ ':status': 200 });
        managed.onAge(() => events.push('age'));
      },
    },
    { clock, http2: { maxConnectionAgeMs: 10_000 }, random: { fraction: () => 0.5, bytes: Buffer.alloc } },
  );
  const client = await session(t, endpoint);
  const stream = client.request({ ':path': '/' });
  stream.on('error', () => {});
  await once(stream, 'response');
  const goAway = once(client, 'goaway');
  clock.advance(2000);
  assert.deepEqual((await goAway).map(String), ['0', '1', 'max_age']);
  assert.deepEqual(events, []);
  clock.advance(1100);
  assert.deepEqual(events, ['age']);
  assert.equal(stream.closed, false);
  const closed = once(client, 'close');
  clock.advance(10_000);
  await closed;
});

test('the server asks silent peers for a sign of life, and grpc clients that ask too often have to go', async (t) => {
  const clock = new FakeClock();
  const { endpoint } = await open(t, echoHandlers, { clock, http2: { limitPings: true } });
  const silent = await session(t, endpoint);
  const pinged = once(silent, 'ping');
  clock.advance(61_000);
  await pinged;
  assert.equal(silent.destroyed, false);

  const eager = await session(t, endpoint);
  const farewell = new Promise((resolve) =>
    eager.once('goaway', (code, _last, debug) => resolve([code, String(debug)])),
  );
  const closed = new Promise<void>((resolve) => eager.once('close', () => resolve()));
  for (let i = 0; i < 4; i++) eager.ping(() => {});
  assert.deepEqual(await farewell, [11, 'too_many_pings']);
  clock.advance(1000);
  await closed;
});

test('windows follow the load, as the peer sees them', async (t) => {
  const streams: (() => void)[] = [];
  const { endpoint } = await open(
    t,
    {
      stream(stream, _headers, _raw, managed) {
        stream.sendHeaders({ ':status': 200 });
        managed.streamBusy();
        streams.push(() => managed.streamIdle());
      },
    },
    { http2: { windows: new WindowBudget({ perConnectionBytes: 4 << 20, totalBytes: 64 << 20 }) } },
  );
  const client = await session(t, endpoint);
  assert.equal(client.remoteSettings.initialWindowSize, 4 << 20);
  for (let i = 0; i < 16; i++) client.request({ ':path': '/' }).on('error', () => {});
  await eventually('the smaller window', () => client.remoteSettings.initialWindowSize === (4 << 20) / 16);
  assert.equal(streams.length, 16);
});

test('settings: no push, not many streams for a stranger, a connection window for all of them', async (t) => {
  const { endpoint } = await open(t, echoHandlers, {
    http2: { windows: new WindowBudget({ perConnectionBytes: 64 << 20, totalBytes: 64 << 20 }) },
  });
  const client = await session(t, endpoint);
  const { initialWindowSize, maxConcurrentStreams, enablePush } = client.remoteSettings;
  assert.deepEqual([initialWindowSize, maxConcurrentStreams, enablePush], [4 << 20, 250, false]);
  await eventually('the connection window', () => (client.state.remoteWindowSize ?? 0) === 16 << 20);
});

test('a listener that retires ends connections with their next answer, and says so', async (t) => {
  const { endpoint, front } = await open(t, echoHandlers);
  const connection = await rawConnection(endpoint);
  t.after(() => connection.close());
  connection.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.doesNotMatch(await connection.readUntil('GET /a'), /Connection: close/i);
  front.retire();
  connection.write('GET /b HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await connection.readToEnd(), /Connection: close\r\n[\s\S]*GET \/b$/i);
});

const WAITING = 'POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n';

test('a client that waits with its body is asked for it when somebody reads it', async (t) => {
  const { endpoint } = await open(t, {
    request: (req, res) => void req.on('data', (body) => res.end(`got ${body}`)),
  });
  const connection = await rawConnection(endpoint);
  t.after(() => connection.close());
  for (let i = 0; i < 2; i++) {
    connection.write(WAITING);
    assert.equal(await connection.readUntil('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
    connection.write('hi');
    assert.doesNotMatch(await connection.readUntil('got hi'), /Connection: /i);
  }
});

test('a client that waits with its body and is refused is not asked for it, and its connection ends', async (t) => {
  const { endpoint } = await open(t, {
    request(req, res) {
      res.writeHead(401).end('no');
      req.resume();
    },
  });
  const connection = await rawConnection(endpoint);
  connection.write(WAITING);
  assert.match(await connection.readToEnd(), /^HTTP\/1\.1 401 Unauthorized\r\n[\s\S]*Connection: close\r\n/i);
});

test('who drains sends few away at once, and many after each other, so that others have their turn meanwhile', async (t) => {
  const clock = new FakeClock();
  const { endpoint, front } = await open(t, echoHandlers, { clock });
  const clients = await Promise.all(Array.from({ length: 120 }, () => session(t, endpoint)));
  let away = 0;
  for (const client of clients) client.once('goaway', () => away++);
  let told = false;
  void front.drain(60_000).then(() => {
    told = true;
  });
  for (const expected of [40, 80, 120]) {
    await eventually(`${expected} to be sent away`, () => away === expected);
    for (const client of clients.slice(expected, expected + 1)) {
      assert.equal(await bodyOf(client), 'HTTP/2 GET /x', 'the next one is still served');
      assert.equal(away, expected);
    }
    clock.advance(50);
  }
  await eventually('the end', () => told);
});

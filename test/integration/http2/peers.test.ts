// node:http2, which is nghttp2, at the other end of our connections: as client and as server, with whatever they do to each other.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Connection, type ConnectionOptions } from '../../../src/http2/connection.ts';
import type { Stream, StreamSink } from '../../../src/http2/stream.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { seededRandom } from '../../support/doubles/seeded_random.ts';
import { eventually, within } from '../../support/wait.ts';

const OPTIONS: Omit<ConnectionOptions, 'role'> = {
  clock: systemClock,
  streamWindowBytes: 256 << 10,
  connectionWindowBytes: 1 << 20,
  heldBytes: { stranger: 1 << 20, known: 1 << 24 },
  maxStreams: 1000,
  headerList: { bytes: 1 << 20, pairs: 1000 },
  flood: { burst: 10_000, perSecond: 1000 },
};
const SIZES = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_000_000, 10_000_000];
const LONG_MS = 60_000;

/** Bytes that tell where they belong. */
const bodyOf = (size: number) => Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));

/** Gives back what it gets, as its client reads it. */
class Echo implements StreamSink {
  readonly #stream: Stream;
  closedWith: number | undefined;

  constructor(stream: Stream) {
    this.#stream = stream;
    stream.open(this);
    stream.sendHeaders({ ':status': 200 });
    stream.resume();
  }

  data(chunk: Buffer): void {
    if (!this.#stream.write(chunk)) this.#stream.pause();
  }

  ended(): void {
    this.#stream.end({ 'x-trailer': 'echoed' });
  }

  drained(): void {
    this.#stream.resume();
  }

  closed(code: number): void {
    this.closedWith = code;
  }
}

async function ourServer(t: TestContext, options: Partial<ConnectionOptions> = {}) {
  const connections: Connection[] = [];
  const echoes: Echo[] = [];
  const server = createServer((socket) => {
    t.after(() => socket.destroy());
    const handler = {
      request: (stream: Stream) => void echoes.push(new Echo(stream)),
      closed: () => {},
    };
    connections.push(new Connection(socket, handler, { ...OPTIONS, ...options, role: 'server' }));
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { maxSessionMemory: 1000 });
  t.after(() => client.destroy());
  client.on('error', () => {});
  await once(client, 'remoteSettings');
  return { client, connections, echoes };
}

/** Posts and reads what comes back; `pause` stops the reading now and then. */
async function post(client: ClientHttp2Session, body: Buffer, pause = 0): Promise<{ body: Buffer; trailer: unknown }> {
  const stream = client.request({ ':method': 'POST', ':path': '/' });
  let trailer: unknown;
  stream.on('trailers', (trailers) => {
    trailer = trailers['x-trailer'];
  });
  stream.end(body);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
    if (pause > 0 && chunks.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return { body: Buffer.concat(chunks), trailer };
}

test('its client: bodies of all sizes come back as they were', { timeout: LONG_MS }, async (t) => {
  const { client, connections } = await ourServer(t);
  for (const size of SIZES) {
    const { body, trailer } = await post(client, bodyOf(size));
    assert.ok(body.equals(bodyOf(size)), `${size} bytes: ${body.length} came back`);
    assert.equal(trailer, 'echoed');
  }
  assert.equal(connections[0]?.openStreams, 0);
});

test('its client: many at once, some of which read slowly', { timeout: LONG_MS }, async (t) => {
  const { client, connections } = await ourServer(t);
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const size = SIZES[i % 8] ?? 0;
      const { body } = await post(client, bodyOf(size), i % 5 === 0 ? 1 : 0);
      return body.equals(bodyOf(size));
    }),
  );
  assert.ok(answers.every(Boolean));
  assert.equal(connections[0]?.openStreams, 0);
});

test('its client: windows that grow and shrink meanwhile', { timeout: LONG_MS }, async (t) => {
  const { client, connections } = await ourServer(t, { streamWindowBytes: 64 << 10 });
  let sizes = 0;
  const change = () => {
    if (connections[0]?.destroyed !== false) return;
    sizes++;
    connections[0].setStreamWindow(sizes % 2 === 0 ? 64 << 10 : 2 << 20, () => setTimeout(change, 2));
  };
  change();
  const bodies = await Promise.all(Array.from({ length: 8 }, async () => (await post(client, bodyOf(3_000_000))).body));
  assert.ok(bodies.every((body) => body.equals(bodyOf(3_000_000))));
  assert.ok(sizes > 3, `${sizes} sizes`);
});

test('its client: cancels at any moment leave nothing behind', { timeout: LONG_MS }, async (t) => {
  const { client, connections, echoes } = await ourServer(t);
  const random = seededRandom(1);
  const streams: ClientHttp2Stream[] = [];
  for (let i = 0; i < 300; i++) {
    const stream = client.request({ ':method': 'POST', ':path': '/' });
    stream.on('error', () => {});
    stream.write(bodyOf(random.below(300_000)));
    if (random.below(2) === 0) stream.resume();
    streams.push(stream);
    if (random.below(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    const victim = streams.splice(random.below(streams.length), 1)[0];
    victim?.close(random.below(2) === 0 ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR);
  }
  for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
  await eventually('no stream is open', () => connections[0]?.openStreams === 0);
  assert.ok(echoes.every(({ closedWith }) => closedWith !== undefined));
  assert.ok((await post(client, bodyOf(500_000))).body.equals(bodyOf(500_000)));
});

test('its client: streams that it does not read stall no others', {
  timeout: LONG_MS,
}, async (t) => {
  const { client, connections } = await ourServer(t);
  connections[0]?.trust(); // strangers may hold less than this
  const stalled = Array.from({ length: 20 }, () => {
    const stream = client.request({ ':method': 'POST', ':path': '/' });
    stream.on('error', () => {});
    stream.end(bodyOf(2_000_000));
    return stream;
  });
  await Promise.all(stalled.map((stream) => once(stream, 'response')));
  // What nobody reads at the client's end uses up the window of its connection, which is its own to enlarge.
  client.setLocalWindowSize(1 << 24);
  assert.ok((await post(client, bodyOf(1_000_000))).body.equals(bodyOf(1_000_000)));
  for (const stream of stalled) stream.close(constants.NGHTTP2_CANCEL);
  await eventually('no stream is open', () => connections[0]?.openStreams === 0);
});

test('its client: leaving, one after the other', { timeout: LONG_MS }, async (t) => {
  const { client, connections } = await ourServer(t);
  const open = client.request({ ':method': 'POST', ':path': '/' });
  open.write('before');
  await once(open, 'data');
  const goaway = once(client, 'goaway');
  connections[0]?.close();
  assert.deepEqual((await goaway).slice(0, 2), [0, 1]);
  open.end('after');
  assert.equal(String((await once(open, 'data'))[0]), 'after');
  await within('the end', 5000, once(client, 'close'));
  assert.ok(connections[0]?.destroyed);
});

// ---- node:http2 as the server

async function itsServer(t: TestContext, set: (server: Http2Server) => void, options: Partial<ConnectionOptions> = {}) {
  const server = createHttp2Server();
  server.on('session', (session) => {
    session.on('error', () => {});
    t.after(() => session.destroy());
  });
  set(server);
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket: Socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.after(() => socket.destroy());
  const { promise: greeted, resolve } = Promise.withResolvers<void>();
  const { promise: closed, resolve: close } = Promise.withResolvers<Error | undefined>();
  const connection = new Connection(
    socket,
    { greeted: resolve, closed: close },
    { ...OPTIONS, ...options, role: 'client' },
  );
  await greeted;
  return { connection, closed };
}

function echoes(server: Http2Server): void {
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'echoed' }));
    stream.pipe(stream);
  });
}

interface Answer {
  readonly status: unknown;
  readonly body: Buffer;
  readonly trailer: unknown;
  readonly code: number;
}

/** Sends a body as fast as it is taken, and reads the answer, resting now and then. */
function ask(connection: Connection, body: Buffer, rests = false): { stream: Stream; answer: Promise<Answer> } {
  const stream = connection.request({ ':method': 'POST', ':scheme': 'http', ':authority': 'x', ':path': '/' });
  const answer = new Promise<Answer>((resolve) => {
    const chunks: Buffer[] = [];
    let at = 0;
    let status: unknown;
    let trailer: unknown;
    const send = () => {
      while (at < body.length) {
        at += 50_000;
        if (!stream.write(body.subarray(at - 50_000, at))) return;
      }
      stream.end();
    };
    stream.open({
      headers: (headers) => {
        status = headers[':status'];
      },
      data(chunk) {
        chunks.push(chunk);
        if (!rests || chunks.length % 10 !== 0) return;
        stream.pause();
        setTimeout(() => stream.resume(), 1);
      },
      trailers: (trailers) => {
        trailer = trailers['x-trailer'];
      },
      ended: () => {},
      drained: send,
      closed: (code) => resolve({ status, body: Buffer.concat(chunks), trailer, code }),
    });
    stream.resume();
    send();
  });
  return { stream, answer };
}

test('its server: bodies of all sizes come back as they were', { timeout: LONG_MS }, async (t) => {
  const { connection } = await itsServer(t, echoes);
  for (const size of SIZES) {
    const { status, body, trailer, code } = await ask(connection, bodyOf(size)).answer;
    assert.ok(body.equals(bodyOf(size)), `${size} bytes: ${body.length} came back`);
    assert.deepEqual([String(status), trailer, code], ['200', 'echoed', 0]);
  }
  assert.equal(connection.openStreams, 0);
});

test('its server: many at once, more than it takes, some of which read slowly', { timeout: LONG_MS }, async (t) => {
  const { connection } = await itsServer(t, (server) => {
    server.on('session', (session) => session.settings({ maxConcurrentStreams: 7 }));
    echoes(server);
  });
  await new Promise((resolve) => setTimeout(resolve, 50)); // its second SETTINGS
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const size = SIZES[i % 8] ?? 0;
      const { body, code } = await ask(connection, bodyOf(size), i % 5 === 0).answer;
      return code === 0 && body.equals(bodyOf(size));
    }),
  );
  assert.ok(answers.every(Boolean));
  assert.equal(connection.openStreams, 0);
});

test('its server: cancels at any moment leave nothing behind', { timeout: LONG_MS }, async (t) => {
  const { connection } = await itsServer(t, echoes);
  const random = seededRandom(2);
  const asked: ReturnType<typeof ask>[] = [];
  const all: Promise<Answer>[] = [];
  for (let i = 0; i < 300; i++) {
    const each = ask(connection, bodyOf(random.below(300_000)), random.below(2) === 0);
    asked.push(each);
    all.push(each.answer);
    if (random.below(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    asked.splice(random.below(asked.length), 1)[0]?.stream.reset(constants.NGHTTP2_CANCEL);
  }
  await within('all ends', 20_000, Promise.all(all));
  assert.equal(connection.openStreams, 0);
  assert.ok((await ask(connection, bodyOf(500_000)).answer).body.equals(bodyOf(500_000)));
});

test('its server: an answer before the end of the request', { timeout: LONG_MS }, async (t) => {
  const { connection } = await itsServer(t, (server) => {
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 413 });
      stream.end('too large');
    });
  });
  for (let i = 0; i < 20; i++) {
    const { status, body, code } = await within('an end', 5000, ask(connection, bodyOf(3_000_000)).answer);
    assert.deepEqual([String(status), String(body), code], ['413', 'too large', 0]);
  }
  assert.equal(connection.openStreams, 0);
});

test('its server: leaving, one after the other', { timeout: LONG_MS }, async (t) => {
  const { connection, closed } = await itsServer(t, (server) => {
    echoes(server);
    server.on('stream', (stream) => stream.session?.close());
  });
  const { body, code } = await ask(connection, bodyOf(1_000_000)).answer;
  assert.equal(code, 0);
  assert.ok(body.equals(bodyOf(1_000_000)));
  assert.equal(await within('the end', 5000, closed), undefined);
});

test('its server: pings', { timeout: LONG_MS }, async (t) => {
  const { connection } = await itsServer(t, echoes);
  assert.equal(await new Promise((resolve) => connection.ping(resolve)), undefined);
});

// What no decent agent sends to 8150: a status for the sender, nothing for anybody else.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { WebSocket } from 'ws';
import { RegisterRequestSchema } from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { envelope, type GrpcConnection, type GrpcStream, grpcConnection } from '../support/grpc_client.ts';
import { rawConnection, rawExchange } from '../support/http1.ts';
import { within } from '../support/wait.ts';
import { openWebSocket, webSocket } from '../support/websocket.ts';

const connectPath = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';
const registerPath = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';

type ConnectMessage = MessageInitShape<typeof ConnectRequestSchema>;

const descriptor: ConnectMessage = {
  msg: {
    case: 'descriptor',
    value: {
      agentDescriptor: {
        services: [{ name: 'gitlab.agent.kubernetes_api.rpc.KubernetesApi', methods: [{ name: 'MakeRequest' }] }],
      },
    },
  },
};
const header: ConnectMessage = { msg: { case: 'header', value: {} } };
const message: ConnectMessage = { msg: { case: 'message', value: { data: Buffer.from('x') } } };
const trailer: ConnectMessage = { msg: { case: 'trailer', value: {} } };

describe('bad input on the agent port', () => {
  let cluster: Cluster;
  let connection: GrpcConnection;
  before(async () => {
    const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };
    cluster = await startCluster({ gitlab: {}, backend: await startBackend({ paths }) });
    connection = await grpcConnection(cluster.server.endpoints.agent);
  });
  after(async () => {
    connection.close();
    await cluster.stop();
  });
  afterEach(async () => {
    assert.equal(
      (await within('another agent’s request', 5000, cluster.ask({ path: '/fine', token: 'ci:1:job-agent' }))).text,
      'fine',
    );
  });

  const open = (token = 'agent-token-2') => connection.call(connectPath, { token, gzip: true });
  const agentPort = () => cluster.server.endpoints.agent;

  test('a token that is no token', async () => {
    for (const authorization of [
      'Bearer',
      'Bearer ',
      'bearer',
      'Basic YTpi',
      'agent-token-2',
      `Bearer ${'t'.repeat(2000)}`,
      'Bearer nobody’s'.replace('’', '?'),
    ]) {
      const call = connection.call(registerPath, { token: undefined, headers: { authorization } });
      call.sendMessage(RegisterRequestSchema, { agentMeta: {}, podId: 1n });
      call.halfClose();
      const { code } = await within(`the status for ${authorization.slice(0, 20)}`, 5000, call.status);
      assert.equal(code, 16, authorization.slice(0, 40));
    }
  });

  describe('the order of messages', () => {
    const endsWith = async (call: GrpcStream, text: RegExp) => {
      const { code, message } = await within('the status', 5000, call.status);
      assert.equal(code, 3, message);
      assert.match(message, text);
    };

    for (const [name, first] of [
      ['a header', header],
      ['a message', message],
      ['a trailer', trailer],
    ] as const)
      test(`${name} before the descriptor`, async () => {
        const call = open();
        call.sendMessage(ConnectRequestSchema, first);
        await endsWith(call, /transition|oneof/);
      });

    test('two descriptors', async () => {
      const call = open();
      call.sendMessage(ConnectRequestSchema, descriptor);
      call.sendMessage(ConnectRequestSchema, descriptor);
      await endsWith(call, /transition from 1 to 1 is not allowed/);
    });

    test('an empty message', async () => {
      const call = open();
      call.send(Buffer.alloc(0));
      await endsWith(call, /value is required|no fields in the oneof/);
    });

    test('an answer that begins with its trailer: the client hears of it', async () => {
      const call = open();
      call.sendMessage(ConnectRequestSchema, descriptor);
      const answer = cluster.ask({ path: '/x', token: 'ci:2:job-agent' });
      const { msg } = await call.nextMessage(ConnectResponseSchema);
      assert.equal(msg.case, 'requestInfo');
      call.sendMessage(ConnectRequestSchema, trailer);
      await endsWith(call, /transition from 1 to 4 is not allowed/);
      const { status } = await within('the client’s answer', 5000, answer);
      assert.equal(status, 502);
    });

    test('an answer that stops in the middle: the client hears of it', async () => {
      const call = open();
      call.sendMessage(ConnectRequestSchema, descriptor);
      const answer = cluster.ask({ path: '/x', token: 'ci:2:job-agent' });
      await call.nextMessage(ConnectResponseSchema);
      call.sendMessage(ConnectRequestSchema, header);
      call.halfClose();
      assert.equal((await within('the client’s answer', 5000, answer)).status, 502);
      assert.notEqual((await call.status).code, 0);
    });

    test('an answer whose HTTP message is none: the client hears of it', async () => {
      const call = open();
      call.sendMessage(ConnectRequestSchema, descriptor);
      const answer = cluster.ask({ path: '/x', token: 'ci:2:job-agent' });
      await call.nextMessage(ConnectResponseSchema);
      call.sendMessage(ConnectRequestSchema, header);
      call.sendMessage(ConnectRequestSchema, {
        msg: { case: 'message', value: { data: Buffer.from([0xff, 0xff, 0xff]) } },
      });
      assert.equal((await within('the client’s answer', 5000, answer)).status, 502);
      call.cancel();
    });
  });

  describe('messages', () => {
    const registration = () =>
      toBinary(RegisterRequestSchema, create(RegisterRequestSchema, { agentMeta: {}, podId: 1n }));

    async function statusOf(bytes: Buffer, gzip = false) {
      const call = connection.call(registerPath, { gzip });
      call.sendRaw(bytes);
      call.halfClose();
      return await within('the status', 10_000, call.status);
    }

    test('a prefix that promises too much', async () => {
      const prefix = Buffer.from([0, 0, 0x50, 0, 0]);
      assert.deepEqual(await statusOf(prefix), {
        code: 8,
        message: 'grpc: received message larger than max (5242880 vs. 4194304)',
      });
      assert.equal((await statusOf(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))).code, 8);
    });

    test('a gzip bomb', async () => {
      const memory = cluster.server.residentBytes();
      const bomb = envelopeOf(gzipSync(Buffer.alloc(256 << 20)), 1);
      for (let i = 0; i < 5; i += 1) assert.equal((await statusOf(bomb, true)).code, 8);
      assert.ok(cluster.server.residentBytes() - memory < 100 << 20, 'nothing was inflated');
    });

    test('a gzip bomb that lies about its size', async () => {
      const memory = cluster.server.residentBytes();
      const zipped = gzipSync(Buffer.alloc(256 << 20));
      zipped.writeUInt32LE(100, zipped.length - 4);
      for (let i = 0; i < 5; i += 1) assert.notEqual((await statusOf(envelopeOf(zipped, 1), true)).code, 0);
      assert.ok(cluster.server.residentBytes() - memory < 100 << 20, 'nothing was inflated');
    });

    test('a message longer than its last bytes say, one that is no gzip, one cut off', async () => {
      const zipped = gzipSync(Buffer.alloc(1000, 'a'));
      zipped.writeUInt32LE(10, zipped.length - 4);
      assert.notEqual((await statusOf(envelopeOf(zipped, 1), true)).code, 0);
      const failed = (why: string) => ({
        code: 13,
        message: `grpc: failed to decompress the received message: ${why}`,
      });
      const none = envelopeOf(Buffer.from('this is no gzip at all'), 1);
      assert.deepEqual(await statusOf(none, true), failed('gzip: invalid header'));
      const cutOff = envelopeOf(gzipSync(Buffer.alloc(1000)).subarray(0, 15), 1);
      assert.deepEqual(await statusOf(cutOff, true), failed('unexpected EOF'));
    });

    test('a compressed message of one who has not said that he compresses', async () => {
      assert.deepEqual(await statusOf(envelopeOf(gzipSync(registration()), 1)), {
        code: 13,
        message: 'grpc: compressed flag set with identity or empty encoding',
      });
    });

    test('fewer bytes than the prefix says, then the end', async () => {
      assert.notEqual((await statusOf(Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(50)]))).code, 0);
      assert.notEqual((await statusOf(Buffer.from([0, 0]))).code, 0);
    });

    test('an unknown flag, an unknown encoding', async () => {
      assert.notEqual((await statusOf(envelopeOf(Buffer.from(registration()), 7))).code, 0);
      const call = connection.call(registerPath, { headers: { 'grpc-encoding': 'br' } });
      call.halfClose();
      assert.equal((await call.status).code, 12);
    });

    test('a timeout that is none', async () => {
      const call = connection.call(registerPath, { headers: { 'grpc-timeout': 'later' } });
      call.halfClose();
      assert.deepEqual(await within('the status', 10_000, call.status), {
        code: 13,
        message: 'malformed grpc-timeout: transport: timeout unit is not recognized: "later"',
      });
      assert.equal((await call.headers)[':status'], 400);
    });

    test('bytes that are no protobuf, text that is no UTF-8', async () => {
      assert.equal((await statusOf(envelope(Buffer.from([0x0a, 0x7f, 1])))).code, 13);
      assert.notEqual((await statusOf(envelope(Buffer.from([0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe])))).code, 0);
    });

    test('no message at all, or two', async () => {
      assert.notEqual((await statusOf(Buffer.alloc(0))).code, 0);
      assert.notEqual((await statusOf(Buffer.concat([envelope(registration()), envelope(registration())]))).code, 14);
    });
  });

  describe('HTTP/2', () => {
    test('an authority with an impossible port, or that is a URL', async () => {
      // Agents before 16.4 send their whole URL.
      for (const authority of [
        'a:99999',
        'wss:%2F%2Fkas.example.com',
        'wss://kas.example.com/-/kubernetes-agent/',
        '[::1',
      ])
        for (const path of [registerPath, connectPath, '/unknown']) {
          const call = connection.call(path, { token: 'agent-token-2', headers: { ':authority': authority } });
          call.halfClose();
          const { code } = await within(`the status for ${authority}`, 5000, call.status);
          assert.notEqual(code, -1, `${authority} ${path}`);
        }
      // Characters that HTTP/2 does not allow there: the stream is refused, nothing else.
      for (const authority of ['a b']) {
        const call = connection.call(registerPath, { headers: { ':authority': authority } });
        call.halfClose();
        await within(`the end of the stream for ${authority}`, 5000, call.status);
      }
    });

    test('a header of 1 MiB', async () => {
      const other = await grpcConnection(agentPort());
      const call = other.call(registerPath, { headers: { 'x-big': 'x'.repeat(1 << 20) } });
      call.halfClose();
      assert.notEqual((await within('the end', 5000, call.status)).code, 0);
      other.close();
    });

    test('a path that is none', async () => {
      for (const path of ['', '/', '//', 'x', '*', `/${'p'.repeat(10_000)}`, '/%zz/%00']) {
        const other = await grpcConnection(agentPort());
        const call = other.call(path);
        call.halfClose();
        assert.notEqual((await within('the end', 5000, call.status)).code, 0, path);
        other.close();
      }
    });

    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const frame = (type: number, flags: number, stream: number, payload: string | Buffer = '') => {
      const body = Buffer.from(payload as string, 'latin1');
      const head = Buffer.alloc(9);
      head.writeUIntBE(body.length, 0, 3);
      head[3] = type;
      head[4] = flags;
      head.writeUInt32BE(stream, 5);
      return Buffer.concat([head, body]).toString('latin1');
    };
    const settings = frame(4, 0, 0);

    /** The end of a GOAWAY: type, no flags, the connection's stream, no last stream, its code and its reason. */
    const goAway = (code: number, reason: string) => `\x07${'\0'.repeat(12)}${String.fromCharCode(code)}${reason}`;

    test('garbage before the preface is no HTTP', async () => {
      assert.match(await rawExchange(agentPort(), `garbage${preface}${settings}`), /^HTTP\/1\.1 400 Bad Request\r\n/);
    });

    for (const [name, bytes, answer] of [
      ['garbage after the preface', `${preface}${'\xff'.repeat(2000)}`, goAway(1, 'this is not HTTP/2')],
      ['HEADERS on stream 0', `${preface}${settings}${frame(1, 4, 0, '\x82')}`, goAway(1, 'clients have odd streams')],
      [
        'a header block that is none',
        `${preface}${settings}${frame(1, 5, 1, '\xff\xff\xff\xff\xff\xff')}`,
        goAway(9, 'an integer in a header block is too large'),
      ],
      [
        'a stream with an even number',
        `${preface}${settings}${frame(1, 5, 2, '\x82')}`,
        goAway(1, 'clients have odd streams'),
      ],
      [
        'CONTINUATION without HEADERS',
        `${preface}${settings}${frame(9, 4, 1, '\x82')}`,
        goAway(1, 'there is nothing to continue'),
      ],
      [
        'WINDOW_UPDATE by 0',
        `${preface}${settings}${frame(8, 0, 0, '\0\0\0\0')}`,
        goAway(1, 'WINDOW_UPDATE of nothing'),
      ],
      [
        'a window beyond its limit',
        `${preface}${settings}${frame(8, 0, 0, '\x7f\xff\xff\xff').repeat(2)}`,
        goAway(3, 'a window of more than 2^31-1 bytes'),
      ],
      [
        'a frame that is too long',
        `${preface}${settings}${frame(0, 0, 1, 'x'.repeat(16_385))}`,
        goAway(6, 'frames have 16384 bytes at the most'),
      ],
      ['SETTINGS of odd length', `${preface}${frame(4, 0, 0, 'abc')}`, goAway(6, 'these SETTINGS are none')],
    ] as const)
      test(`${name}: the peer is told, and the connection ends`, async () => {
        const raw = await rawConnection(agentPort());
        raw.write(bytes);
        const received = await raw.readToEnd();
        assert.equal(received.slice(-answer.length), answer);
      });

    // Whoever goes on sending may be reset before he has read why; the stage `hostile` has more of these.
    for (const [name, bytes] of [
      [
        'a flood of empty CONTINUATIONs',
        `${preface}${settings}${frame(1, 0, 1, '\x82')}${frame(9, 0, 1).repeat(20_000)}`,
      ],
      ['a flood of SETTINGS', `${preface}${settings.repeat(20_000)}`],
      ['streams opened and reset at once', `${preface}${settings}${rapidResets(frame)}`],
    ] as const)
      test(`${name}: the connection ends`, async () => {
        const raw = await rawConnection(agentPort());
        raw.write(bytes);
        await within('the end of the connection', 10_000, raw.closed);
      });

    test('a preface cut off is nothing to answer', async () => {
      const raw = await rawConnection(agentPort());
      raw.write(preface.slice(0, 10));
      raw.socket.end();
      assert.doesNotMatch(await raw.readToEnd(), /HTTP/);
    });
  });

  describe('HTTP/1.1 and WebSocket', () => {
    test('plain requests get 426, whatever they are', async () => {
      assert.match(
        await rawExchange(agentPort(), 'GET / HTTP/1.1\r\nHost: a:99999\r\nConnection: close\r\n\r\n'),
        /^HTTP\/1\.1 426 /,
      );
      assert.match(
        await rawExchange(agentPort(), 'POST /x HTTP/1.1\r\nHost: k\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
        /^HTTP\/1\.1 426 /,
      );
    });

    test('a header of 1 MiB and more, and half a request', { timeout: 60_000 }, async () => {
      const half = rawExchange(agentPort(), 'GET / HTTP/1.1\r\nHost: k\r\nUpgra', 45_000);
      assert.match(
        await rawExchange(agentPort(), `GET / HTTP/1.1\r\nHost: k\r\nX: ${'x'.repeat(1.2 * (1 << 20))}\r\n\r\n`),
        /^HTTP\/1\.1 431 /,
      );
      assert.match(await half, /^(HTTP\/1\.1 4\d\d .*)?$/s);
    });

    async function closeCode(
      act: (socket: Awaited<ReturnType<typeof openWebSocket>>) => void,
    ): Promise<[number, string]> {
      const socket = await openWebSocket(agentPort());
      const closed = closeOf(socket);
      act(socket);
      const [code, reason] = await within('the close frame', 10_000, closed);
      return [code, reason.toString()];
    }

    test('another subprotocol', async () => {
      for (const protocols of [[], ['WS-TUNNEL'], ['other']]) {
        const socket = webSocket(agentPort(), protocols);
        socket.on('open', () => {});
        const [code, reason] = await within('the close frame', 10_000, closeOf(socket));
        // A client that offered something and got nothing back ends the handshake itself.
        if (protocols.length === 0)
          assert.deepEqual([code, reason.toString()], [1002, 'Expecting "ws-tunnel" subprotocol, got ""']);
        else assert.ok(code === 1002 || code === 1006, String(code));
      }
    });

    test('text', async () => {
      assert.deepEqual(await closeCode((socket) => socket.send('text')), [
        1003,
        'unexpected frame type read (expected MessageBinary): MessageText',
      ]);
    });

    test('a message over 10 MiB', async () => {
      const [code] = await closeCode((socket) => socket.send(Buffer.alloc(10 * (1 << 20) + 1)));
      assert.equal(code, 1009);
    });

    test('bytes that are no HTTP/2', async () => {
      const [code] = await closeCode((socket) => socket.send(Buffer.alloc(1000, 'g')));
      assert.ok(code === 1000 || code === 1002 || code === 1006, String(code));
    });

    test('a frame that is not masked', async () => {
      const raw = await rawConnection(agentPort());
      raw.write(
        'GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ws-tunnel\r\n\r\n',
      );
      assert.match(await raw.readUntil('\r\n\r\n'), /^HTTP\/1\.1 101 /);
      raw.write('\x82\x03abc');
      await within('the end', 10_000, raw.closed);
    });
  });
});

/** Code and reason of the close; an error before it is part of the matter. */
function closeOf(socket: WebSocket): Promise<[number, Buffer]> {
  return new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, reason])));
}

function envelopeOf(payload: Buffer, flag: number): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(payload.length, 1);
  return Buffer.concat([prefix, payload]);
}

function rapidResets(frame: (type: number, flags: number, stream: number, payload: string) => string): string {
  let out = '';
  // :method POST, :scheme http, :path /, in HPACK's static table; then RST_STREAM CANCEL.
  for (let stream = 1; stream < 20_000; stream += 2)
    out += frame(1, 5, stream, '\x83\x86\x84') + frame(3, 0, stream, '\0\0\0\x08');
  return out;
}

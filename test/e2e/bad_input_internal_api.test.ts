// What 8153 answers to what nobody should send, and that it goes on serving.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, type DescMethodUnary, toBinary } from '@bufbuild/protobuf';
import {
  AgentTracker,
  GetConnectedAgentsRequestSchema,
} from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { ConfigurationProject } from '../../src/gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import {
  type GitPushEventRequestSchema,
  Notifications,
} from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { GetServerInfoRequestSchema, ServerInfo } from '../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { dial } from '../support/endpoint.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { envelope, type GrpcConnection, grpcConnection } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { rawConnection } from '../support/http1.ts';
import { askHttp2, type InternalCaller, internalCallers, pathOf, railsJwt } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { within } from '../support/wait.ts';

const serverInfo = pathOf(ServerInfo.method.getServerInfo);
const push = pathOf(Notifications.method.gitPushEvent);

describe('bad input on the internal API', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let connection: GrpcConnection;
  let callers: InternalCaller[];
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    connection = await grpcConnection(server.endpoints.api);
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
  });
  after(async () => {
    connection.close();
    for (const caller of callers) caller.close();
    await server.stop();
    await gitlab.close();
  });
  afterEach(async () => {
    for (const { name, call } of callers) {
      assert.equal((await call(ServerInfo.method.getServerInfo, {})).status.code, 0, `still serving ${name}`);
    }
    const defects = server.log.filter(({ msg }) => /defect|Unknown gRPC error/i.test(msg));
    assert.deepEqual(defects, []);
  });

  const authorization = () => `Bearer ${railsJwt(gitlab.secret)}`;
  const grpc = (path: string, body: Buffer, headers: Record<string, string> = {}) => {
    const call = connection.call(path, { token: undefined, headers: { authorization: authorization(), ...headers } });
    call.sendRaw(body);
    call.halfClose();
    return call.status;
  };
  const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
    ask(server.endpoints.api, {
      method: 'POST',
      path,
      headers: { authorization: authorization(), 'content-type': 'application/json', ...headers },
      body,
    });

  test('a host that is none', async () => {
    const request = envelope(toBinary(GetServerInfoRequestSchema, create(GetServerInfoRequestSchema)));
    const hosts = { 'a:99999': 200, 'wss:%2F%2Fhost': 200, '[': 200, '%': 200, '': 200, 'a b': 400, '\u00e9': 400 };
    for (const [host, status] of Object.entries(hosts)) {
      const answer = await rawHttp1(
        `POST ${serverInfo} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${authorization()}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      );
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(host));
    }
    for (const host of ['a:99999', 'wss:%2F%2Fhost', '%']) {
      const status = await grpc(serverInfo, request, { ':authority': host });
      assert.deepEqual(status, { code: 0, message: '' }, host);
    }
  });

  async function rawHttp1(text: string): Promise<string> {
    const socket = await dial(server.endpoints.api);
    socket.setEncoding('utf8').write(text, 'latin1');
    let answer = '';
    for await (const chunk of socket) answer += chunk;
    return answer;
  }

  test('paths that are hosts, queries, or nothing at all', async () => {
    for (const target of ['//a:99999/x/y', '/%', '/?', '*', 'http://a:99999/x', `${serverInfo}?a=%&b`, '/a?b/c']) {
      const answer = await rawHttp1(
        `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      );
      assert.match(answer, /^HTTP\/1\.1 (401|501) /, target);
    }
  });

  const unknown: [path: string, message: string][] = [
    ['/no.such.Service/Method', 'unknown service no.such.Service'],
    [
      '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register',
      'unknown service gitlab.agent.agent_registrar.rpc.AgentRegistrar',
    ],
    [
      '/gitlab.agent.agent_tracker.rpc.AgentTracker/Nope',
      'unknown method Nope for service gitlab.agent.agent_tracker.rpc.AgentTracker',
    ],
    ['/foo', 'malformed method name: "/foo"'],
  ];
  for (const [path, message] of unknown) {
    test(`${path} is not there, for anybody, in each protocol`, async () => {
      const call = connection.call(path, { token: undefined });
      call.halfClose();
      assert.deepEqual(await call.status, { code: 12, message });
      const body = Buffer.from('{}');
      for (const ask1 of [
        (headers: Record<string, string>) => ask(server.endpoints.api, { method: 'POST', path, headers, body }),
        (headers: Record<string, string>) => askHttp2(connection, path, headers, body),
      ]) {
        const connect = await ask1({ 'content-type': 'application/json' });
        assert.equal(connect.status, 501);
        assert.deepEqual(JSON.parse(connect.body.toString()), { code: 'unimplemented', message });
        const web = await ask1({ 'content-type': 'application/grpc-web+proto' });
        assert.equal(web.headers['grpc-status'], '12');
        assert.equal(decodeURIComponent(String(web.headers['grpc-message'])), message);
        const stream = await ask1({ 'content-type': 'application/connect+json' });
        assert.equal(stream.body[0], 2);
        assert.deepEqual(JSON.parse(stream.body.subarray(5).toString()), { error: { code: 'unimplemented', message } });
      }
    });
  }

  test('what is no call at all', async () => {
    for (const path of [serverInfo, '/no.such.Service/Method']) {
      assert.equal((await ask(server.endpoints.api, { path })).status, 405);
      assert.equal((await post(path, 'x', { 'content-type': 'text/plain' })).status, 415);
      assert.equal((await askHttp2(connection, path, { 'content-type': 'text/html' }, Buffer.from('x'))).status, 415);
    }
  });

  test('a message that is none', async () => {
    assert.deepEqual(await grpc(push, envelope(Buffer.from('0a056162', 'hex'))), {
      code: 13,
      message: 'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
    });
    const broken = await post(push, '{"event":');
    assert.equal(broken.status, 400);
    const wrong = await post(push, '{"event":{"project":{"id":"seven"}}}');
    assert.equal(wrong.status, 400);
    const { code, message } = JSON.parse(wrong.text);
    assert.equal(code, 'invalid_argument');
    assert.match(message, /Project\.id/);
  });

  test('a request that is cut off, missing, or there twice', async () => {
    const whole = envelope(Buffer.alloc(0));
    assert.deepEqual(await grpc(serverInfo, Buffer.from([0, 0, 0])), { code: 13, message: 'unexpected EOF' });
    assert.deepEqual(await grpc(serverInfo, Buffer.from([0, 0, 0, 0, 9, 1])), { code: 13, message: 'unexpected EOF' });
    const missing = { code: 13, message: 'grpc: received no request message' };
    assert.deepEqual(await grpc(serverInfo, Buffer.alloc(0)), missing);
    const twice = { code: 13, message: 'grpc: received more than one request message' };
    assert.deepEqual(await grpc(serverInfo, Buffer.concat([whole, whole])), twice);
  });

  test('JSON of the wrong shape, whichever the method', async () => {
    for (const service of [ServerInfo, AgentTracker, Notifications, ConfigurationProject]) {
      for (const method of Object.values<DescMethodUnary>(service.method)) {
        for (const body of [
          '[]',
          '7',
          '"x"',
          'null',
          '{"agentIds":{},"projectIds":1,"agentId":"x","event":[],"repository":3}',
        ]) {
          const { status, text } = await post(pathOf(method), body);
          if (status === 200) assert.ok(Object.values(method.input.field).length === 0, `${method.name} ${body}`);
          else assert.deepEqual([status, JSON.parse(text).code], [400, 'invalid_argument'], `${method.name} ${body}`);
        }
      }
    }
  });

  test('a field that JSON has and we do not is passed over', async () => {
    assert.equal((await post(push, '{"event":{"project":{"id":7,"fullPath":"a/b"},"new":1},"more":[]}')).status, 200);
  });

  test('values that are wrong are named by their fields', async () => {
    const event = 'invalid GitPushEventRequest.Event: ';
    const project = `${event}embedded message failed validation | caused by: invalid GitPushEvent.Project: `;
    const fields = `${project}embedded message failed validation | caused by: `;
    for (const { name, call } of callers) {
      const { method } = Notifications;
      const refused = async (request: Parameters<typeof create<typeof GitPushEventRequestSchema>>[1]) => {
        const { status } = await call(method.gitPushEvent, request ?? {});
        assert.equal(status.code, 3, name);
        return status.message;
      };
      assert.equal(await refused({}), `${event}value is required`);
      assert.equal(await refused({ event: {} }), `${project}value is required`);
      assert.equal(
        await refused({ event: { project: { id: -1n } } }),
        `${fields}invalid Project.Id: value must be greater than 0; invalid Project.FullPath: value length must be at least 1 bytes`,
      );
      const { status } = await call(AgentTracker.method.getConnectedAgents, {});
      const message = 'invalid GetConnectedAgentsRequest.Request: value is required';
      assert.deepEqual(status, { code: 3, message }, name);
    }
  });

  test('a message that is too large', async () => {
    const large = Buffer.alloc(5 << 20);
    const message = `grpc: received message larger than max (${5 << 20} vs. 4194304)`;
    assert.deepEqual(await grpc(push, envelope(large)), { code: 8, message });
    for (let i = 0; i < 5; i++) assert.equal((await post(push, large)).status, 429);
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    assert.ok(bomb.length < 1 << 20);
    const prefix = Buffer.from([1, 0, 0, 0, 0]);
    prefix.writeUInt32BE(bomb.length, 1);
    assert.deepEqual(await grpc(push, Buffer.concat([prefix, bomb]), { 'grpc-encoding': 'gzip' }), {
      code: 8,
      message: `grpc: received message after decompression larger than max (${64 << 20} vs. 4194304)`,
    });
  });

  test('compressed requests, and ones compressed in a way that we do not know', async () => {
    const request = create(GetConnectedAgentsRequestSchema, { request: { case: 'agentId', value: 1n } });
    const message = envelope(toBinary(GetConnectedAgentsRequestSchema, request), true);
    const path = pathOf(AgentTracker.method.getConnectedAgents);
    assert.deepEqual(await grpc(path, message, { 'grpc-encoding': 'gzip' }), { code: 0, message: '' });
    assert.deepEqual(await grpc(path, message, { 'grpc-encoding': 'snappy' }), {
      code: 12,
      message: 'grpc: Decompressor is not installed for grpc-encoding "snappy"',
    });
    const unannounced = { code: 13, message: 'grpc: compressed flag set with identity or empty encoding' };
    assert.deepEqual(await grpc(path, message), unannounced);
    assert.deepEqual(await grpc(path, message, { 'grpc-encoding': 'identity' }), unannounced);
    assert.deepEqual(await grpc(path, Buffer.from([1, 0, 0, 0, 4, 1, 2, 3, 4]), { 'grpc-encoding': 'gzip' }), {
      code: 13,
      message: 'grpc: failed to decompress the received message: unexpected EOF',
    });
    assert.deepEqual(await grpc(path, Buffer.from([2, 0, 0, 0, 0])), {
      code: 13,
      message: 'grpc: received unexpected payload format 2',
    });
  });

  test('content types of gRPC with codecs and parameters that nobody knows', async () => {
    const request = envelope(toBinary(GetServerInfoRequestSchema, create(GetServerInfoRequestSchema)));
    for (const type of ['application/grpc;charset=utf-8', 'application/grpc+foo', 'application/grpc+proto; a=b']) {
      const call = connection.call(serverInfo, {
        token: undefined,
        headers: { authorization: authorization(), 'content-type': type },
      });
      call.sendRaw(request);
      call.halfClose();
      assert.deepEqual(await call.status, { code: 0, message: '' }, type);
      assert.equal((await call.headers)['content-type'], type);
    }
  });

  test('a timeout that is none, whichever the method', async () => {
    for (const path of [serverInfo, '/no.such.Service/Method']) {
      const call = connection.call(path, { token: undefined, headers: { 'grpc-timeout': 'later' } });
      call.halfClose();
      assert.deepEqual(await call.status, {
        code: 13,
        message: 'malformed grpc-timeout: transport: timeout unit is not recognized: "later"',
      });
      assert.equal((await call.headers)[':status'], 400);
    }
  });

  test('calls that are given up, and connections that are cut', async () => {
    for (let i = 0; i < 20; i++) {
      const other = await grpcConnection(server.endpoints.api);
      const call = other.call(push, { token: undefined, headers: { authorization: authorization() } });
      call.sendRaw(Buffer.from([0, 0, 0, 1]));
      if (i % 2 === 0) call.cancel();
      else other.session.socket.destroy();
      await call.status;
      other.close();
      const socket = await dial(server.endpoints.api);
      socket.write(`POST ${push} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`);
      socket.destroy();
    }
  });

  test('a client that is refused, but does not end its request, is cut off', async () => {
    const call = connection.call(serverInfo, { token: undefined });
    assert.equal((await call.status).code, 16);
  });

  test('so is one on HTTP/1.1, that waits or sends without end; each has its answer first', async () => {
    const head = `POST ${serverInfo} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n`;
    const waiting = await rawConnection(server.endpoints.api);
    waiting.write(head);
    assert.match(await waiting.readToEnd(5000), /^HTTP\/1\.1 401 .*unauthenticated/s);

    const sending = await rawConnection(server.endpoints.api);
    const { socket } = sending;
    const more = Buffer.alloc(64 << 10);
    const send = () => {
      while (!socket.destroyed && socket.write(more)) {}
    };
    sending.write(head);
    socket.on('drain', send);
    send();
    assert.match(await sending.readUntil('\r\n', 5000), /^HTTP\/1\.1 401 /);
    await within('the end of the connection', 5000, sending.closed);
    assert.ok(socket.bytesWritten < 1 << 30);
  });
});

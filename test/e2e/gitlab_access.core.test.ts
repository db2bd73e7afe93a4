// Requests of agents' modules on their way to GitLab and back (docs/protocol/gitlab_access.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HttpRequestSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { ask, data, openRequest, readAnswer, requestHeader, trailer } from '../support/gitlab_access.ts';
import { type GrpcConnection, grpcConnection } from '../support/grpc_client.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { eventually, within } from '../support/wait.ts';

const OK = { code: 0, message: '' };
const MODULE = '/api/v4/internal/kubernetes/modules/remote_development';
const RECONCILE = `${MODULE}/reconcile`;

describe('the way to GitLab', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agent: GrpcConnection;
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    agent = await grpcConnection(server.endpoints.agent);
  });
  after(async () => {
    await server.stop(); // before the agent leaves: some ways of leaving end a server on Deno (docs/compatibility.md)
    agent.close();
    await gitlab.close();
    assert.deepEqual(gitlab.problems, []);
  });

  test('a request arrives as the agent sent it, with its credentials', async () => {
    const answer = await ask(agent, [
      requestHeader({
        method: 'POST',
        header: { 'Content-Type': ['application/json'], 'X-Multi': ['a', 'b'], Authorization: ['Bearer mine'] },
        query: { q: ['1', '2'] },
      }),
      data('{"a":'),
      data('1}'),
      trailer,
    ]);
    assert.deepEqual(answer.status, OK);
    assert.equal(answer.httpStatus, 200);
    assert.equal(answer.complete, true);
    assert.deepEqual(answer.headers['Content-Type'], ['application/json']);
    assert.deepEqual(JSON.parse(answer.body.toString()), {
      echo: { method: 'POST', path: RECONCILE, query: 'q=1&q=2', body: '{"a":1}' },
    });
    const { headers, rawHeaders } = gitlab.requestsTo(RECONCILE).at(-1) ?? assert.fail();
    assert.equal(headers['gitlab-agent-api-request'], 'agent-token-1');
    assert.equal(headers['gitlab-agentk-api-request'], 'agent-token-1');
    assert.equal(headers.authorization, 'Bearer agent-token-1');
    assert.equal(headers['content-length'], '7');
    assert.match(headers['user-agent'] ?? '', /^gitlab-kas\//);
    assert.deepEqual(
      rawHeaders.filter(([name]) => name === 'X-Multi').map(([, value]) => value),
      ['a', 'b'],
    );
    const line = await server.waitForLog('of the request', ({ msg }) => msg === 'Handling POST /reconcile');
    assert.deepEqual(
      [line.level, line.grpc_method, line.correlation_id],
      ['debug', 'MakeRequest', headers['x-request-id']],
    );
  });

  test('a large body is passed on as it comes, and so is a large answer', async () => {
    const piece = Buffer.alloc(32 << 10, 'x');
    const pieces = Array.from({ length: 96 }, () => data(piece));
    const answer = await ask(agent, [requestHeader({ method: 'PUT' }), ...pieces, trailer]);
    assert.deepEqual(answer.status, OK);
    const { echo } = JSON.parse(answer.body.toString()) as { echo: { body: string } };
    assert.equal(echo.body.length, 96 * piece.length);
    assert.ok(answer.pieces.every((size) => size > 0 && size <= 32 << 10));
    assert.equal(gitlab.requestsTo(RECONCILE).at(-1)?.headers['transfer-encoding'], 'chunked');
  });

  test('whatever GitLab answers is the agent’s to judge', async () => {
    for (const status of [201, 204, 302, 404, 422]) {
      const stop = gitlab.fail(RECONCILE, { status, body: '', headers: { location: '/elsewhere' } });
      const answer = await ask(agent, [requestHeader(), trailer]);
      stop();
      assert.deepEqual([answer.status, answer.httpStatus, answer.complete], [OK, status, true]);
    }
    const refused = await ask(agent, [requestHeader(), trailer], { token: 'nobody' });
    assert.deepEqual([refused.status, refused.httpStatus], [OK, 401]);
    const stop = gitlab.fail(RECONCILE, { status: 200, contentType: 'text/html', body: '<p>' });
    assert.equal((await ask(agent, [requestHeader(), trailer])).body.toString(), '<p>');
    stop();
  });

  test('a request is repeated while GitLab is in trouble, if its body is small', async () => {
    const asked = gitlab.requestsTo(RECONCILE).length;
    gitlab.fail(RECONCILE, { status: 503 }, 2);
    const { httpStatus } = await ask(agent, [requestHeader({ method: 'POST' }), data('x'), trailer]);
    assert.equal(httpStatus, 200);
    assert.equal(gitlab.requestsTo(RECONCILE).length - asked, 3);

    gitlab.fail(RECONCILE, { status: 503 }, 1);
    const large = [requestHeader({ method: 'POST' }), data(Buffer.alloc(70_000)), trailer];
    assert.equal((await ask(agent, large)).httpStatus, 503);
  });

  test('a GitLab that breaks off does not look like one that has finished', async () => {
    let stop = gitlab.fail(RECONCILE, { status: 200, cut: 'middle', bodyBytes: 100_000 });
    const half = await ask(agent, [requestHeader(), trailer]);
    stop();
    assert.equal(half.complete, false);
    assert.deepEqual(half.status, { code: 1, message: 'gRPC -> HTTP: read HTTP response body: unexpected EOF' });

    stop = gitlab.fail(RECONCILE, { cut: 'before' });
    const none = await ask(agent, [requestHeader({ method: 'POST' }), trailer]);
    stop();
    assert.equal(none.status.code, 14);
    assert.match(none.status.message, /^gRPC -> HTTP: POST http:\/\/127\.0\.0\.1:\d+\/api\/v4\/internal.*reconcile: /);
    assert.equal(none.httpStatus, undefined);
  });

  test('an answer longer than it said does not run into the next one', async () => {
    const stop = gitlab.fail(RECONCILE, { status: 200, body: 'abcdef', headers: { 'content-length': '2' } });
    const answer = await ask(agent, [requestHeader(), trailer]);
    stop();
    assert.equal(answer.body.toString().slice(0, 2), 'ab');
    assert.ok(answer.body.length <= 2);
    assert.equal((await ask(agent, [requestHeader(), trailer])).httpStatus, 200);
  });

  test('what the agent may not send ends its call at once', async () => {
    const header = requestHeader();
    const upgradeData = { case: 'upgradeData' as const, value: { data: Buffer.from('x') } };
    for (const [parts, code, message] of [
      [[header], 3, 'transition from 1 to -1 is not allowed. Allowed: [2 3]'],
      [[header, data('x')], 3, 'transition from 2 to -1 is not allowed. Allowed: [2 3]'],
      [[trailer], 3, 'transition from -2 to 3 is not allowed. Allowed: [1]'],
      [[header, header], 3, 'transition from 1 to 1 is not allowed. Allowed: [2 3]'],
      [[requestHeader({ contentLength: 0n }), data('x')], 13, 'unexpected HttpRequest_Data message received'],
      [[requestHeader({ extra: false })], 14, 'gRPC -> HTTP: proto: invalid nil source message'],
      [
        [requestHeader({ header: { Upgrade: ['websocket'] } })],
        14,
        'gRPC -> HTTP: connection upgrade is not supported',
      ],
      [[requestHeader({ path: '/../agent_info' }), trailer], 3, 'gRPC -> HTTP: the path has . or .. in it'],
      [
        [requestHeader({ header: { A: ['x\r\nGitlab-Agent-Api-Request: y'] } }), trailer],
        3,
        'gRPC -> HTTP: invalid header field value for "A"',
      ],
    ] as const) {
      const { status, httpStatus } = await ask(agent, parts);
      assert.deepEqual({ status, httpStatus }, { status: { code, message }, httpStatus: undefined });
    }
    const stop = gitlab.fail(RECONCILE, { delayMs: 3000, status: 200 });
    const late = await within('the refusal', 2000, ask(agent, [header, trailer, upgradeData]));
    stop();
    assert.deepEqual(late.status, {
      code: 13,
      message: 'unexpected HttpRequest_UpgradeData message for non-upgrade request',
    });
    const garbage = openRequest(agent);
    garbage.send(Buffer.from('ffffff', 'hex'));
    assert.equal((await garbage.status).code, 13);
  });

  test('a client that waits with its half-close for the answer gets it', async () => {
    const call = openRequest(agent);
    call.sendMessage(HttpRequestSchema, { message: requestHeader() });
    call.sendMessage(HttpRequestSchema, { message: trailer });
    assert.equal((await readAnswer(call)).httpStatus, 200);
  });

  test('a client that gives up takes its request to GitLab along', async () => {
    const stop = gitlab.fail(RECONCILE, { status: 200, bodyBytes: 200 << 20 });
    const call = openRequest(agent);
    call.sendMessage(HttpRequestSchema, { message: requestHeader() });
    call.sendMessage(HttpRequestSchema, { message: trailer });
    await call.next();
    call.stream.pause(); // the answer is held back, not gathered
    call.cancel();
    await call.status;
    stop();
    assert.equal((await ask(agent, [requestHeader(), trailer])).httpStatus, 200);
  });
});

test('open calls do not keep the server from ending', async () => {
  const gitlab = await startGitLab();
  const server = await startServer({
    gitlab,
    config: {
      agent: {
        listen: { listen_grace_period: '0.1s' },
        kubernetes_api: { listen: { listen_grace_period: '0.1s', shutdown_grace_period: '1s' } },
      },
    },
  });
  gitlab.fail(RECONCILE, { delayMs: 60_000 });
  const agent = await grpcConnection(server.endpoints.agent);
  const silent = openRequest(agent);
  silent.sendMessage(HttpRequestSchema, { message: requestHeader({ method: 'POST' }) });
  const waiting = openRequest(agent);
  waiting.sendMessage(HttpRequestSchema, { message: requestHeader() });
  waiting.sendMessage(HttpRequestSchema, { message: trailer });
  const uploading = openRequest(agent);
  uploading.sendMessage(HttpRequestSchema, { message: requestHeader({ method: 'POST', path: '/upload' }) });
  uploading.sendMessage(HttpRequestSchema, { message: data(Buffer.alloc(100_000)) });
  await eventually('the request that waits', () => gitlab.requestsTo(RECONCILE).length === 1);
  await server.stop(6000);
  agent.close();
  await gitlab.close();
});

test('a server without GitLab says that it has none', async () => {
  const server = await startServer();
  const agent = await grpcConnection(server.endpoints.agent);
  const { status } = await ask(agent, [requestHeader(), trailer]);
  assert.deepEqual(status, { code: 12, message: 'this server has no GitLab to hand requests to' });
  agent.close();
  await server.stop();
});

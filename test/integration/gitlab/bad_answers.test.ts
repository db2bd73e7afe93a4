import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { GitLabClient } from '../../../src/gitlab/client.ts';
import { openClient, patience } from './setup.ts';

const JOB = JSON.stringify({
  allowed_agents: [],
  job: { id: 1 },
  pipeline: { id: 2 },
  project: { id: 3 },
  user: { id: 4, username: 'alice' },
});
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

/** A GitLab that answers as `listener` says, and a client of it. */
async function serve(t: TestContext, listener: RequestListener): Promise<GitLabClient> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return openClient(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

test('gzip is unpacked', async (t) => {
  const client = await serve(t, (request, response) => {
    assert.equal(request.headers['accept-encoding'], 'gzip');
    response.writeHead(200, { ...JSON_TYPE, 'content-encoding': 'gzip' }).end(gzipSync(JOB));
  });
  const answer = await client.allowedAgents('job', patience());
  assert.equal(answer.user?.username, 'alice');
});

test('an answer may have a long head', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'gitlab-feature-flag': 'kas_x=true, '.repeat(8000) }).end(JOB);
  });
  const answer = await client.allowedAgents('job', patience());
  assert.equal(answer.user?.username, 'alice');
});

test('a gzip bomb is refused', async (t) => {
  const bomb = gzipSync(Buffer.alloc(17 * 1024 * 1024));
  const client = await serve(t, (_, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-encoding': 'gzip' }).end(bomb);
  });
  await assert.rejects(client.allowedAgents('job', patience()), { message: /larger than 16777216 bytes/ });
});

test('corrupt gzip is refused', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-encoding': 'gzip' }).end('no gzip at all');
  });
  await assert.rejects(client.allowedAgents('job', patience()), { message: /no proper gzip/ });
});

test('a body without end is refused', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, JSON_TYPE);
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, 0x20)));
    };
    response.on('drain', more);
    more();
  });
  await assert.rejects(client.allowedAgents('job', patience()), { message: /larger than 16777216 bytes/ });
});

test('a body that is cut off is refused', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': 1000 });
    response.write(JOB, () => response.destroy());
  });
  await assert.rejects(client.allowedAgents('job', patience()), {
    name: 'AppError',
    code: 14,
    message: /^reading the response for path \/api\/v4\/job\/allowed_agents: /,
  });
});

test('another content type is refused', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>');
  });
  await assert.rejects(client.allowedAgents('job', patience()), {
    message: 'unexpected Content-Type in response: "text/html"',
  });
});

test('neither broken JSON nor a wrong type shows what the answer holds', async (t) => {
  const bodies = ['{"gitaly_info":{"token":"s3cret"', '{"user":{"username":{"token":"s3cret"}}}'];
  const client = await serve(t, (_, response) => response.writeHead(200, JSON_TYPE).end(bodies.shift()));
  await assert.rejects(client.allowedAgents('job', patience()), {
    message: 'protojson.Unmarshal: the response is not valid JSON',
  });
  await assert.rejects(client.allowedAgents('job', patience()), (error: Error) => {
    assert.match(error.message, /^protojson.Unmarshal: \S+ has a value of the wrong type$/);
    return true;
  });
});

test('a redirect is an answer like any other', async (t) => {
  let asked = 0;
  const client = await serve(t, (_, response) => {
    asked++;
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  await assert.rejects(client.allowedAgents('job', patience()), { name: 'GitLabError', status: 302 });
  assert.equal(asked, 1);
});

test('an identity that nobody knows is refused', async (t) => {
  const odd = { id: 1, config_project: { id: 2 }, configuration: { access_as: { something_new: {} } } };
  const client = await serve(t, (_, response) => {
    response.writeHead(200, JSON_TYPE).end(JSON.stringify({ ...JSON.parse(JOB), allowed_agents: [odd] }));
  });
  await assert.rejects(client.allowedAgents('job', patience()), {
    message:
      'ValidateAll: invalid AllowedAgentsForJob.AllowedAgents[0]: embedded message failed validation | caused by: ' +
      'invalid AllowedAgent.Configuration: embedded message failed validation | caused by: ' +
      'invalid Configuration.AccessAs: embedded message failed validation | caused by: invalid CiAccessAsCF.As: value is required',
  });
});

test('trouble that passes is waited out', async (t) => {
  const statuses = [503, 500, 429];
  const client = await serve(t, (_, response) => {
    response.writeHead(statuses.shift() ?? 200, JSON_TYPE).end(JOB);
  });
  const answer = await client.allowedAgents('job', patience());
  assert.equal(answer.job?.id, 1n);
  assert.deepEqual(statuses, []);
});

test('an answer that never begins ends with the caller', async (t) => {
  const client = await serve(t, () => {});
  const controller = new AbortController();
  const call = client.allowedAgents('job', { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('caller left')), 50);
  await assert.rejects(call, { message: 'caller left' });
});

test('a body that stalls ends with the caller', async (t) => {
  const client = await serve(t, (_, response) => {
    response.writeHead(200, JSON_TYPE).write('{');
  });
  const controller = new AbortController();
  const call = client.allowedAgents('job', { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('caller left')), 100);
  await assert.rejects(call, { message: 'caller left' });
});

test('a kept connection that GitLab has closed in the meantime is no failure', async (t) => {
  let asked = 0;
  const used = new WeakSet<Socket>();
  const client = await serve(t, (request, response) => {
    asked++;
    // The second request of a connection is never answered: as when it crosses with the closing.
    if (used.has(request.socket)) request.socket.resetAndDestroy();
    else response.writeHead(401, JSON_TYPE).end('{}');
    used.add(request.socket);
  });
  const unauthorized = { name: 'GitLabError', status: 401 };
  await assert.rejects(client.agentInfo('token', patience()), unauthorized);
  await sleep(50); // until the first answer's body is read, which frees its connection
  await assert.rejects(client.agentInfo('token', patience()), unauthorized);
  assert.equal(asked, 3);
  // Modules' requests have connections of their own.
  const request = { method: 'GET', module: 'm', path: '/p', query: {}, headers: {}, body: undefined };
  for (let i = 0; i < 2; i++) {
    const { status, body } = await client.moduleRequest('token', request, patience());
    assert.equal(status, 401);
    body.resume();
    await sleep(50);
  }
  assert.equal(asked, 6);
});

test('nobody listens', async (t) => {
  const client = openClient(t, 'http://127.0.0.1:1');
  await assert.rejects(client.agentInfo('token', patience()), {
    name: 'TransportError',
    message: /^GET http:\/\/127\.0\.0\.1:1\/api\/v4\/internal\/agents\/agentk\/agent_info: .*ECONNREFUSED/,
    hint: /gitlab\.address/,
  });
});

test('a token with a newline goes nowhere', async (t) => {
  const client = openClient(t, 'http://127.0.0.1:1');
  await assert.rejects(client.allowedAgents('job\r\nX-Evil: 1', patience()), {
    code: 3,
    message: 'invalid header field value for "Job-Token"',
  });
});

test('a burst of calls shares fifty connections, whatever becomes of each', async (t) => {
  const sockets = new Set<Socket>();
  let [open, most] = [0, 0];
  const client = await serve(t, (request, response) => {
    if (!sockets.has(request.socket)) {
      sockets.add(request.socket);
      most = Math.max(most, ++open);
      request.socket.once('close', () => open--);
    }
    const token = Number(request.headers['gitlab-agent-api-request']);
    if (token % 5 === 0) request.socket.resetAndDestroy();
    else if (token % 5 === 1)
      response.writeHead(200, { ...JSON_TYPE, 'content-length': 9 }).write('{', () => response.destroy());
    else
      setTimeout(
        () =>
          response.writeHead(token % 5 === 2 ? 401 : 200, JSON_TYPE).end(token % 5 === 3 ? 'x'.repeat(20_000) : '{}'),
        5,
      );
  });
  const controller = new AbortController();
  const calls = Array.from({ length: 240 }, (_, i) =>
    client.agentInfo(String(i), { signal: i % 10 === 4 ? controller.signal : patience().signal }),
  );
  setTimeout(() => controller.abort(new Error('gone')), 1);
  const results = await Promise.allSettled(calls);
  assert.ok(results.every(({ status }) => status === 'rejected'));
  assert.ok(most > 1 && most <= 50, `${most} connections at once`);
  // All fifty are free again: none was lost with a failed call.
  const again = Array.from({ length: 50 }, () => client.agentInfo('2', patience()));
  for (const result of await Promise.allSettled(again)) assert.equal(result.status, 'rejected');
});

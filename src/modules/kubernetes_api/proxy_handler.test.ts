import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpConnection } from '../../../test/support/doubles/http_connection.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { ScriptedUsers } from '../../../test/support/scripted_users.ts';
import type { AgentCaller, CallSink } from '../../grpc/call.ts';
import { Hint } from '../../observability/hints.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { MemoryUsageCounters } from '../../store/memory/usage_counters.ts';
import { ProxyHandler } from './proxy_handler.ts';
import { RequestPreparer } from './proxy_request.ts';
import { ResponseHeaderFilter } from './response_headers.ts';

const REQUEST = 'GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ci:1:job-agent\r\n\r\n';

/** A proxy whose way to the agents is broken: not as agents may be, but as programs are. */
function proxyWith(agents: AgentCaller, max = 10) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const scope = new Scope(clock);
  const handler = new ProxyHandler({
    preparer: new RequestPreparer({
      config: { urlPathPrefix: '/', websocketTokenSecret: undefined },
      externalUrl: '',
      serverName: 'gitlab-kas/v1/c',
      users: new ScriptedUsers(),
      clock,
      log,
    }),
    responses: new ResponseHeaderFilter({ via: 'via', extraAllowed: [], log }),
    agents,
    usage: new MemoryUsageCounters(),
    tracer: undefined,
    prove() {},
    records: { metrics: undefined, log, clock },
    perUser: { max, exceeded() {} },
    scope,
    log,
  });
  const connection = new HttpConnection((request, response) => handler.request(request, response));
  const defects = () => lines.filter(({ level }) => level === 'error');
  return { connection, defects };
}

const broken: AgentCaller = {
  open() {
    throw new TypeError('x is not a function');
  },
};

test('a defect costs one request, whether GitLab had to be asked for it or not', async () => {
  const { connection, defects } = proxyWith(broken, 1);
  for (const times of [1, 2]) {
    connection.write(REQUEST);
    const bodies = () => connection.received.split('"code":500}').length - 1;
    await connection.until(() => bodies() === times, 'the answer');
  }
  assert.match(connection.received, /^HTTP\/1.1 500 Internal Server Error\r\n/);
  assert.match(connection.received, /"message":"GitLab Agent Server: Internal error","reason":"InternalError"/);
  assert.doesNotMatch(connection.received, /is not a function/);
  assert.equal(connection.ended, false);
  assert.deepEqual(
    defects().map(({ message, fields }) => [message, fields.error, fields.hint]),
    Array(2).fill(['Defect in serving a request', 'x is not a function', Hint.defect]),
  );
  assert.match(String(defects()[0]?.fields.correlation_id), /^\w{26}$/);
});

test('an answer that has begun is cut off', async () => {
  const { connection, defects } = proxyWith({
    open(_agentId, _method, sink: CallSink) {
      // field 1 (header) with field 1 (response) with field 1 (status) = 200
      sink.message(Buffer.from('0a050a0308c801', 'hex'));
      throw new Error('broken');
    },
  });
  connection.write(REQUEST);
  await connection.until(() => connection.ended, 'the end');
  assert.equal(defects().length, 1);
});

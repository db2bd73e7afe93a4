import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createSentryReporter } from '../../../src/observability/sentry/sentry_reporter.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { startSentryReceiver } from '../../support/sentry/receiver.ts';

async function setUp(t: TestContext) {
  const receiver = await startSentryReceiver();
  t.after(() => receiver.close());
  return { receiver, ...reporterTo(receiver.dsn) };
}

function reporterTo(dsn: string) {
  const { log, lines } = recordingLog();
  const reporter = createSentryReporter({
    dsn,
    environment: 'production',
    release: 'v1',
    env: {},
    ca: [],
    clock: systemClock,
    log,
  });
  return { reporter, lines };
}

test('an event says what failed, for whom and where', async (t) => {
  const { receiver, reporter, lines } = await setUp(t);
  reporter.report('Config: failed to fetch', {
    grpc_service: 'gitlab.agent.agent_configuration.rpc.AgentConfiguration',
    grpc_method: 'GetConfiguration',
    agent_id: 7n,
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    correlation_id: 'id-1',
    error: 'GET https://oauth2:glpat-1234567@gitlab/x: reading 10.0.0.1:5555->10.0.0.2:443',
  });
  await reporter.flush();
  const [event] = receiver.events;
  assert.deepEqual(event?.exception.values, [
    {
      type: 'Error',
      value: 'Config: failed to fetch: GET https://[secret]@gitlab/x: reading 10.0.0.1:x->10.0.0.2:443',
    },
  ]);
  assert.deepEqual(event?.user, { id: '7' });
  assert.deepEqual(event?.tags, {
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    trace_sampled: 'true',
    'grpc.service': 'gitlab.agent.agent_configuration.rpc.AgentConfiguration',
    'grpc.method': 'GetConfiguration',
  });
  assert.deepEqual(
    [event?.transaction, event?.release, event?.environment, event?.level, event?.extra],
    [
      'gitlab.agent.agent_configuration.rpc.AgentConfiguration::GetConfiguration',
      'v1',
      'production',
      'error',
      { correlation_id: 'id-1' },
    ],
  );
  assert.match(receiver.requests[0]?.url ?? '', /^\/sub\/api\/42\/envelope\/\?.*sentry_key=public-key/);
  assert.deepEqual(lines, []);
});

test('no more than 30 events leave in a minute', async (t) => {
  const { receiver, reporter } = await setUp(t);
  for (let i = 0; i < 100; i++) reporter.report(`n${i}`, {});
  await reporter.flush();
  assert.equal(receiver.events.length, 30);
});

test('a Sentry that says so is left alone', async (t) => {
  const { receiver, reporter, lines } = await setUp(t);
  receiver.status = 429;
  receiver.headers = { 'Retry-After': '60' };
  reporter.report('first', {});
  await receiver.event('first');
  await new Promise((resolve) => setTimeout(resolve, 50));
  reporter.report('second', {});
  await reporter.flush();
  assert.equal(receiver.requests.length, 1);
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [['warn', 'Sentry error']],
  );
});

test('a Sentry that is away costs a line in the log, which does not show the key', async () => {
  const { reporter, lines } = reporterTo('http://public-key@127.0.0.1:9/1');
  reporter.report('first', {});
  reporter.report('second', {});
  await reporter.flush();
  assert.equal(lines.length, 1);
  assert.match(String(lines[0]?.fields?.error), /^POST http:\/\/127\.0\.0\.1:9\/api\/1\/envelope\/: /);
  assert.doesNotMatch(JSON.stringify(lines), /public-key/);
});

test('a DSN that is none', () => {
  assert.throws(() => reporterTo('nonsense'), { message: 'error tracker: the DSN is not valid' });
});

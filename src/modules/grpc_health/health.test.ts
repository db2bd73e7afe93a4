import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../../gen/grpc/health/v1/health_pb.ts';
import { createErrorInterceptor } from '../../rpc/call_error.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { createHealth } from './health.ts';

function setUp() {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const state = { ready: true };
  const services = createHealth({ ready: () => state.ready, services: ['a.B'], scope });
  const interceptors = [createErrorInterceptor(recordingLog().log)];
  const transport = createRouterTransport(services, { router: { interceptors } });
  return { clock, scope, state, client: createClient(Health, transport) };
}

test('the server and each service are as ready as the server is', async () => {
  const { client, state } = setUp();
  for (const service of ['', 'a.B']) {
    assert.equal((await client.check({ service })).status, Serving.SERVING);
    state.ready = false;
    assert.equal((await client.check({ service })).status, Serving.NOT_SERVING);
    state.ready = true;
  }
  await assert.rejects(client.check({ service: 'a.C' }), { code: Code.NotFound, rawMessage: 'unknown service' });
});

test('who watches hears the status, then each change, until the server ends', async () => {
  const { client, clock, scope, state } = setUp();
  const heard = client.watch({ service: 'a.B' })[Symbol.asyncIterator]();
  assert.equal((await heard.next()).value?.status, Serving.SERVING);
  const change = heard.next();
  await ticks(clock, 3);
  state.ready = false;
  await ticks(clock, 3);
  assert.equal((await change).value?.status, Serving.NOT_SERVING);
  const end = heard.next();
  await ticks(clock, 3);
  scope.close();
  assert.equal((await end).done, true);
});

test('who watches what is not there is told so, and goes on watching', async () => {
  const { client, scope } = setUp();
  const heard = client.watch({ service: 'a.C' })[Symbol.asyncIterator]();
  assert.equal((await heard.next()).value?.status, Serving.SERVICE_UNKNOWN);
  const end = heard.next();
  await ticks(new FakeClock(), 1);
  scope.close();
  assert.equal((await end).done, true);
});

/** Lets a few seconds pass, and what waits for them get its turn. */
async function ticks(clock: FakeClock, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

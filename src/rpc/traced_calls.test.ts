import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, createContextValues, createRouterTransport } from '@connectrpc/connect';
import { RecordingTracer } from '../../test/support/doubles/recording_span.ts';
import { silentLog } from '../../test/support/silent_log.ts';
import { Health, HealthCheckResponse_ServingStatus } from '../gen/grpc/health/v1/health_pb.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createErrorInterceptor } from './call_error.ts';
import { createTracingInterceptor, requestSpan } from './traced_calls.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function setUp() {
  const tracer = new RecordingTracer();
  const seen: unknown[] = [];
  const transport = createRouterTransport(
    (router) =>
      router.service(Health, {
        check({ service }, { values }) {
          seen.push(values.get(requestSpan));
          if (service === 'no') throw new AppError(StatusCode.NotFound, 'no such service');
          return { status: HealthCheckResponse_ServingStatus.SERVING };
        },
        async *watch({ service }) {
          yield { status: HealthCheckResponse_ServingStatus.SERVING };
          if (service === 'no') throw new AppError(StatusCode.NotFound, 'no more');
        },
      }),
    { router: { interceptors: [createTracingInterceptor(tracer), createErrorInterceptor(silentLog)] } },
  );
  return { tracer, seen, client: createClient(Health, transport) };
}

test('a call has a span, which goes on with the trace of the client', async () => {
  const { tracer, seen, client } = setUp();
  await client.check({}, { headers: { traceparent: TRACEPARENT }, contextValues: createContextValues() });
  await assert.rejects(client.check({ service: 'no' }));
  const [first, second] = tracer.spans;
  assert.deepEqual([first?.name, first?.kind, first?.ends], ['grpc.health.v1.Health/Check', 'server', [undefined]]);
  assert.deepEqual(tracer.origins, [{ continued: TRACEPARENT }, { continued: undefined }]);
  assert.equal(seen[0], first);
  assert.deepEqual(second?.ends, ['[not_found] no such service']);
  assert.equal(second?.attributes['rpc.grpc.status_code'], 5);
});

test('that of a stream ends with the last message', async () => {
  const { tracer, client } = setUp();
  for await (const _ of client.watch({})) assert.deepEqual(tracer.spans[0]?.ends, []);
  assert.deepEqual(tracer.spans[0]?.ends, [undefined]);
  await assert.rejects(async () => {
    for await (const _ of client.watch({ service: 'no' }));
  });
  assert.deepEqual(tracer.spans[1]?.ends, ['[not_found] no more']);
});

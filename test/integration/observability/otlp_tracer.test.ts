import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { trustedRoots } from '../../../src/net/trusted_roots.ts';
import { createOtlpTracer } from '../../../src/observability/otlp/otlp_tracer.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { startOtlpReceiver } from '../../support/otlp/receiver.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { makeTls } from '../../support/tls.ts';

interface Options {
  readonly origin: string;
  readonly path?: string;
  readonly token?: string;
  readonly ca?: readonly string[];
}

function tracerTo({ origin, path = '/v1/traces', token, ca = [] }: Options) {
  const { log, lines } = recordingLog();
  const endpoint = new URL(`${origin}${path}`);
  const tracer = createOtlpTracer({ endpoint, token, ca, version: 'v1', env: {}, clock: systemClock, log });
  return { tracer, lines };
}

async function receiverOf(t: TestContext, tls?: { readonly cert: string; readonly key: string }) {
  const receiver = await startOtlpReceiver(tls);
  t.after(() => receiver.close());
  return receiver;
}

test('spans arrive with their parents, attributes, links and errors', async (t) => {
  const receiver = await receiverOf(t);
  const { tracer, lines } = tracerTo(receiver);
  const linked = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const root = tracer.start('k8s-proxy', 'server', { linked }, { agent_id: 7 });
  const child = root.child('routing', 'internal');
  child.set({ found: true, kas_url: 'grpc://x' });
  child.end('nobody there');
  root.end();
  await tracer.shutdown();
  const [first, second] = receiver.spans;
  assert.deepEqual(
    [first?.name, first?.kind, first?.error, first?.attributes, first?.parentSpanId],
    ['routing', 'internal', 'nobody there', { found: true, kas_url: 'grpc://x' }, second?.spanId],
  );
  assert.deepEqual(
    [second?.name, second?.kind, second?.error, second?.attributes, second?.parentSpanId],
    ['k8s-proxy', 'server', undefined, { agent_id: 7 }, ''],
  );
  assert.deepEqual(second?.links, ['0af7651916cd43dd8448eb211c80319c']);
  assert.notEqual(second?.traceId, second?.links[0]);
  assert.equal(root.traceId, second?.traceId);
  assert.equal(root.traceparent, `00-${second?.traceId}-${second?.spanId}-01`);
  assert.deepEqual([second?.resource['service.name'], second?.resource['service.version']], ['gitlab-kas', 'v1']);
  assert.deepEqual(lines, []);
});

test('a trace is continued whose header makes sense', async (t) => {
  const receiver = await receiverOf(t);
  const { tracer } = tracerTo(receiver);
  tracer.start('a', 'server', { continued: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }).end();
  tracer.start('b', 'server', { continued: '00-00000000000000000000000000000000-b7ad6b7169203331-01' }).end();
  tracer.start('c', 'server', { continued: 'x' }).end();
  const unsampled = tracer.start('d', 'server', {
    continued: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
  });
  assert.match(unsampled.child('e', 'client').traceparent, /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
  unsampled.end();
  await tracer.shutdown();
  const [a, b, c] = receiver.spans;
  assert.deepEqual([a?.traceId, a?.parentSpanId], ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331']);
  assert.match(b?.traceId ?? '', /[1-9a-f]/);
  assert.equal(c?.parentSpanId, '');
  assert.equal(receiver.spans.length, 3);
});

for (const [token, name, value] of [
  ['glpat-secret', 'private-token', 'glpat-secret'],
  ['other', 'authorization', 'Bearer other'],
] as const) {
  test(`a token like ${token} goes as ${name}, to the very path that is configured`, async (t) => {
    const receiver = await receiverOf(t);
    const { tracer } = tracerTo({ ...receiver, path: '/api/v4/x%2Fy?z=1', token });
    tracer.start('a', 'server').end();
    await tracer.shutdown();
    assert.equal(receiver.requests[0]?.url, '/api/v4/x%2Fy?z=1');
    assert.equal(receiver.requests[0]?.headers[name], value);
  });
}

test('a collector with a certificate of a CA of its own', async (t) => {
  const tls = makeTls();
  const receiver = await receiverOf(t, tls);
  const file = join(mkdtempSync(join(tmpdir(), 'otlp-')), 'ca.crt');
  writeFileSync(file, tls.ca);
  const { tracer } = tracerTo({ ...receiver, ca: trustedRoots({}, file) });
  tracer.start('a', 'server').end();
  await tracer.shutdown();
  assert.equal(receiver.spans.length, 1);

  const distrusting = tracerTo({ ...receiver, ca: trustedRoots({}, undefined) });
  distrusting.tracer.start('a', 'server').end();
  await distrusting.tracer.shutdown();
  assert.equal(distrusting.lines.length, 1);
  assert.match(String(distrusting.lines[0]?.fields?.error), /^traces export: POST https:.*certificate/);
});

test('a collector that refuses, or is away, costs a line in the log', async (t) => {
  const receiver = await receiverOf(t);
  receiver.status = 400;
  const { tracer, lines } = tracerTo({ ...receiver, token: 'glpat-secret' });
  tracer.start('a', 'server').end();
  await tracer.shutdown();
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields?.error]),
    [['warn', 'OpenTelemetry error', `traces export: POST ${receiver.origin}/v1/traces: HTTP status code: 400`]],
  );

  const away = tracerTo({ origin: 'http://127.0.0.1:9' });
  away.tracer.start('a', 'server').end();
  const started = Date.now();
  await away.tracer.shutdown();
  assert.ok(Date.now() - started < 6000);
  assert.match(
    String(away.lines[0]?.fields?.error),
    /^traces export: POST http:.*: not everything was sent within 5 s$/,
  );
});

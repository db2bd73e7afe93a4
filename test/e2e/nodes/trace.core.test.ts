// One trace and one id of a request, wherever it goes: entry, the node that has the agent, GitLab (docs/protocol/traces.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { startNodes } from '../../support/nodes.ts';
import { startOtlpReceiver } from '../../support/otlp/receiver.ts';
import { noRedis, startRedis } from '../../support/redis.ts';

const PROXIED = 'gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';

test('a request that enters one node for an agent of another is one trace', { skip: noRedis }, async (t) => {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const env = { OTEL_BSP_SCHEDULE_DELAY: '50' };
  const nodes = await startNodes({
    nodes: [{ env }, { env }],
    redis: await startRedis(t),
    backend: await startBackend({ paths: { '/ok': (_, response) => response.end('ok') } }),
    config: { observability: { tracing: { otlp_endpoint: `${receiver.origin}/v1/traces` } } },
  });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  const answer = await nodes.ask(1, { path: '/ok', token: 'ci:1:job-agent', headers: { 'x-request-id': 'traced-1' } });
  assert.equal(answer.text, 'ok');

  const entry = await receiver.span('k8s-proxy');
  const ofIt = (name: string) => receiver.span(name, ({ traceId }) => traceId === entry.traceId);
  for (const name of ['routing', 'tunnel']) assert.equal((await ofIt(name)).parentSpanId, entry.spanId, name);
  const there = await ofIt(PROXIED);
  assert.deepEqual([there.kind, there.error], ['server', undefined]);
  assert.equal(there.parentSpanId, entry.spanId, 'the other node goes on with the request’s span');
  const call = await ofIt('GitLab GET');
  assert.equal(
    nodes.gitlab.requestsTo('/api/v4/job/allowed_agents')[0]?.headers.traceparent,
    `00-${entry.traceId}-${call.spanId}-01`,
  );
  const trying = await nodes.servers[1]?.waitForLog('of the search', ({ msg }) => msg === 'Trying tunnel');
  assert.equal(trying?.trace_id, entry.traceId);
  const line = await nodes.servers[0]?.waitForLog(
    'at the node with the agent',
    ({ msg }) => msg === 'Request of another node',
  );
  assert.deepEqual([line?.trace_id, line?.correlation_id], [entry.traceId, 'traced-1']);
});

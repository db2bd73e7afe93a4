// A trace goes on in the process that has the tunnel (docs/protocol/traces.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { launchCommand } from '../support/launch.ts';
import { startOtlpReceiver } from '../support/otlp/receiver.ts';
import { eventually } from '../support/wait.ts';

const { flavour } = launchCommand();
const skip = flavour === 'deno' ? 'there are no workers on Deno' : false;
const PROXIED = 'gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';

test('a request that comes to one worker and leaves by another is one trace', { skip }, async (t) => {
  const receiver = await startOtlpReceiver();
  t.after(() => receiver.close());
  const cluster = await startCluster({
    backend: await startBackend({ paths: { '/ok': (_request, response) => response.end('ok') } }),
    gitlab: {},
    config: {
      server: { workers: 2 },
      observability: { tracing: { otlp_endpoint: `${receiver.origin}/v1/traces` } },
    },
    env: { OTEL_BSP_SCHEDULE_DELAY: '50' },
  });
  // Each request has a connection of its own, which goes to either worker; the agent's tunnels are in one of them.
  const passed = await eventually('a request that was passed on', async () => {
    assert.equal((await cluster.ask({ path: '/ok', token: 'ci:1:job-agent' })).status, 200);
    return receiver.spans.find(
      ({ name, kind, parentSpanId }) => name === PROXIED && kind === 'server' && parentSpanId !== '',
    );
  });
  const request = await receiver.span('k8s-proxy', ({ traceId }) => traceId === passed.traceId);
  assert.equal(request.attributes.agent_id, 1);
  await cluster.stop();
});

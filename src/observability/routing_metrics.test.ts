import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createRoutingMetrics } from './routing_metrics.ts';

test('how searches for a tunnel ended, under both names', async () => {
  const registry = new Registry();
  const metrics = createRoutingMetrics(registry);
  metrics.found(0);
  metrics.found(5);
  metrics.aborted(1500);
  metrics.timedOut(true);
  metrics.timedOut(false);
  metrics.timedOut(false);
  const lines = (await registry.metrics()).split('\n');
  const has = (line: string) => assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  for (const name of ['k8s_api_proxy_routing_duration_seconds', 'tunnel_routing_duration_seconds']) {
    has(`${name}_bucket{le="0.001",status="success"} 1`);
    has(`${name}_bucket{le="0.016",status="success"} 2`);
    has(`${name}_count{status="success"} 2`);
    has(`${name}_sum{status="aborted"} 1.5`);
    has(`${name}_bucket{le="1.024",status="aborted"} 0`);
    has(`${name}_bucket{le="16.384",status="aborted"} 1`);
  }
  has('k8s_api_proxy_routing_timeout_total 3');
  has('tunnel_routing_timeout_connected_recently_total 1');
  has('tunnel_routing_timeout_not_connected_recently_total 2');
});

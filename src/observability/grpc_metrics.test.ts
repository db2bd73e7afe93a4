import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { StatusCode } from '../runtime/status_code.ts';
import { createGrpcMetrics } from './grpc_metrics.ts';

test('a call is counted when it starts, with its messages, and by how it ends', async () => {
  const registry = new Registry();
  const grpc = createGrpcMetrics(registry);
  const method = grpc.server('/pkg.Service/Method', 'bidi_stream');
  assert.equal(grpc.server('/pkg.Service/Method', 'bidi_stream'), method);
  method.started();
  method.started();
  method.received.inc();
  method.sent.add(3);
  method.ended(StatusCode.OK, 30);
  const client = grpc.client('/pkg.Service/Method', 'unary');
  client.started();
  client.ended(StatusCode.Unavailable);
  const lines = (await registry.metrics()).split('\n');
  const has = (line: string) => assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  const labels = 'grpc_type="bidi_stream",grpc_service="pkg.Service",grpc_method="Method"';
  has(`grpc_server_started_total{${labels}} 2`);
  has(`grpc_server_handled_total{${labels},grpc_code="OK"} 1`);
  has(`grpc_server_handling_seconds_bucket{le="0.025",${labels}} 0`);
  has(`grpc_server_handling_seconds_bucket{le="0.05",${labels}} 1`);
  has(`grpc_server_handling_seconds_sum{${labels}} 0.03`);
  has(`grpc_server_msg_received_total{${labels}} 1`);
  has(`grpc_server_msg_sent_total{${labels}} 3`);
  has('grpc_server_requests_in_flight{grpc_service="pkg.Service",grpc_method="Method"} 1');
  has(
    'grpc_client_handled_total{grpc_type="unary",grpc_service="pkg.Service",grpc_method="Method",grpc_code="Unavailable"} 1',
  );
  has('grpc_client_requests_in_flight{grpc_service="pkg.Service",grpc_method="Method"} 0');
});

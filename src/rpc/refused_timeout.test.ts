import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseTimeout } from './refused_timeout.ts';

test('only gRPC’s own timeouts are refused, and only those that are none', () => {
  const refused = (headers: Record<string, string>) => refuseTimeout(headers);
  const grpc = { 'content-type': 'application/grpc' };
  const answer = refused({ ...grpc, 'grpc-timeout': '5s' });
  assert.equal(answer?.status, 400);
  assert.equal(answer.trailer?.get('grpc-status'), '13');
  assert.equal(refused({ ...grpc, 'grpc-timeout': '5S' }), undefined);
  assert.equal(refused(grpc), undefined);
  assert.equal(refused({ 'content-type': 'application/grpc-web+proto', 'grpc-timeout': '5s' }), undefined);
});

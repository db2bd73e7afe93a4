import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protocolOf } from './protocol.ts';

test('content types tell protocols apart', () => {
  const types = {
    'application/grpc': 'grpc',
    'application/grpc+proto': 'grpc',
    'Application/gRPC;charset=utf-8': 'grpc',
    'application/grpc-web': 'grpc-web',
    'application/grpc-web+proto': 'grpc-web',
    'application/connect+json': 'connect-stream',
    'application/connect+proto': 'connect-stream',
    'application/json; charset=utf-8': 'connect',
    'application/proto': 'connect',
    'application/grpcx': undefined,
    'application/jsonp': undefined,
    'text/html': undefined,
    '': undefined,
  };
  for (const [type, expected] of Object.entries(types)) assert.equal(protocolOf(type), expected, type);
});

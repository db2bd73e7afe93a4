import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { answerUnknown } from './unknown_method.ts';

const services = new Set(['a.B']);
const unknown = (path: string, contentType: string) => answerUnknown({ method: 'POST', path, contentType }, services);

async function bodyOf({ body }: UniversalServerResponse): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('gRPC has the status in its trailers', () => {
  for (const [path, message] of [
    ['/a.B/C', 'unknown method C for service a.B'],
    ['/x.Y/C', 'unknown service x.Y'],
    ['/C', 'malformed method name: "/C"'],
    ['', 'malformed method name: ""'],
  ] as const) {
    const { status, trailer, body } = unknown(path, 'application/grpc');
    assert.deepEqual([status, body], [200, undefined]);
    assert.deepEqual(Object.fromEntries(trailer ?? []), { 'grpc-status': '12', 'grpc-message': message });
  }
});

test('gRPC-Web has it in the head', () => {
  const { header } = unknown('/x.Y/C', 'application/grpc-web+proto');
  assert.equal(header?.get('content-type'), 'application/grpc-web+proto');
  assert.equal(header.get('grpc-status'), '12');
  assert.equal(header.get('grpc-message'), 'unknown service x.Y');
});

test('Connect has it in the body', async () => {
  const answer = unknown('/x.Y/C', 'application/proto');
  assert.equal(answer.status, 501);
  assert.equal(answer.header?.get('content-type'), 'application/json');
  const error = { code: 'unimplemented', message: 'unknown service x.Y' };
  assert.deepEqual(JSON.parse((await bodyOf(answer)).toString()), error);

  const stream = await bodyOf(unknown('/x.Y/C', 'application/connect+json'));
  assert.deepEqual([stream[0], stream.readUInt32BE(1)], [2, stream.length - 5]);
  assert.deepEqual(JSON.parse(stream.subarray(5).toString()), { error });
});

test('what is no call gets a status of HTTP', () => {
  assert.equal(answerUnknown({ method: 'GET', path: '/', contentType: '' }, services).status, 405);
  assert.equal(unknown('/', 'text/plain').status, 415);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { OK, statusOf, statusText } from './status.ts';
import { encodeGrpcMessage, malformedTimeout, parseGrpcTimeout, statusTrailers } from './status_wire.ts';

test('a status has its message in the trailers, also an empty one', () => {
  assert.deepEqual(statusTrailers(OK), { 'grpc-status': '0', 'grpc-message': '' });
  assert.deepEqual(statusTrailers({ code: StatusCode.NotFound, message: 'agent not found' }), {
    'grpc-status': '5',
    'grpc-message': 'agent not found',
  });
});

test('details travel in base64 without padding', () => {
  const trailers = statusTrailers({ code: StatusCode.Aborted, message: '', details: Buffer.from([8, 10, 255, 254]) });
  assert.equal(trailers['grpc-status-details-bin'], 'CAr//g');
});

test('a message is percent-encoded where it is no printable ASCII', () => {
  const cases: [string, string][] = [
    ['plain text ~!"#', 'plain text ~!"#'],
    ['100 %', '100 %25'],
    ['für\n', 'f%C3%BCr%0A'],
    ['\x7f\0', '%7F%00'],
    ['€ 😀', '%E2%82%AC %F0%9F%98%80'],
  ];
  for (const [message, encoded] of cases) {
    assert.equal(encodeGrpcMessage(message), encoded);
    assert.equal(decodeURIComponent(encoded), message);
  }
});

test('a message that no header could carry is cut, not within a character', () => {
  const whole = 'x'.repeat(3072);
  assert.equal(encodeGrpcMessage(whole), whole);
  assert.equal(encodeGrpcMessage(`${whole}x`), `${'x'.repeat(3069)}...`);
  const cut = encodeGrpcMessage('€'.repeat(100_000));
  assert.equal(decodeURIComponent(cut), `${'€'.repeat(341)}...`);
  const long = { code: StatusCode.Aborted, message: 'x', details: Buffer.alloc(3073) };
  assert.deepEqual(Object.keys(statusTrailers(long)), ['grpc-status', 'grpc-message']);
});

test('a timeout is a number of at most eight digits with its unit', () => {
  const cases: [string | undefined, number | undefined][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3000],
    ['99999999m', 99_999_999],
    ['500u', 0.5],
    ['1000000n', 1],
    ['0S', 0],
    [undefined, undefined],
    ['', undefined],
    ['5', undefined],
    ['-5S', undefined],
    ['123456789S', undefined],
    ['5s', undefined],
    ['5S ', undefined],
  ];
  for (const [value, ms] of cases) assert.equal(parseGrpcTimeout(value), ms, `${value}`);
});

test('a timeout that is none is told in the words of gRPC servers in Go', () => {
  const cases: [string, string][] = [
    ['', 'transport: timeout string is too short: ""'],
    ['S', 'transport: timeout string is too short: "S"'],
    ['123456789S', 'transport: timeout string is too long: "123456789S"'],
    ['5s', 'transport: timeout unit is not recognized: "5s"'],
    ['5 "', 'transport: timeout unit is not recognized: "5 \\""'],
    ['xS', 'strconv.ParseInt: parsing "x": invalid syntax'],
  ];
  for (const [value, what] of cases) {
    assert.deepEqual(malformedTimeout(value), {
      code: StatusCode.Internal,
      message: `malformed grpc-timeout: ${what}`,
    });
  }
  assert.equal(malformedTimeout('5S'), undefined);
});

test('a status is shown as Go programs show it', () => {
  assert.equal(
    statusText({ code: StatusCode.Unavailable, message: 'gone' }),
    'rpc error: code = Unavailable desc = gone',
  );
  assert.equal(statusText({ code: 99 as StatusCode, message: '' }), 'rpc error: code = Code(99) desc = ');
});

test('only what is meant to be shown gets into a status', () => {
  assert.deepEqual(statusOf(new AppError(StatusCode.NotFound, 'no such thing')), {
    code: StatusCode.NotFound,
    message: 'no such thing',
  });
  for (const thrown of [new Error('secret'), 'secret', undefined]) {
    assert.deepEqual(statusOf(thrown), { code: StatusCode.Internal, message: 'internal error' });
  }
});

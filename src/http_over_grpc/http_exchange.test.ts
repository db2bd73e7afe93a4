import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, data, failed, ok, setUp, trailer, upgradeData } from '../../test/support/doubles/exchange.ts';
import { OVERLOADED } from '../grpc/status.ts';
import { StatusCode } from '../runtime/status_code.ts';

const GET = 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n';
const CANCELLED = 'cancel 1 Incoming stream closed: context canceled';

test('a request without a body leaves in one piece, and is half-closed', async () => {
  const { opened, sent, call } = await setUp(GET);
  assert.deepEqual([opened.agentId, opened.method], [42n, '/s/MakeRequest']);
  assert.deepEqual(sent(), ['header GET /x 0', 'trailer']);
  assert.deepEqual(call.done, ['write, more', 'write, more', 'halfClose']);
});

test('an answer reaches the client, and the connection its next request', async () => {
  const { says, ends, connection, call } = await setUp(GET);
  says(answer(200, { 'Content-Length': '5', Twice: ['a', 'b'] }), data('he'), data('llo'), trailer);
  ends(ok);
  await connection.until(() => connection.received.endsWith('hello'), 'the body');
  assert.match(connection.received, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(connection.received, /\r\nTwice: a\r\nTwice: b\r\n/);
  assert.equal(call.cancelled, undefined);
  connection.received = '';
  connection.write(GET);
  const second = await setUpSecond(connection);
  assert.equal(connection.ended, false);
  assert.equal(second, 2);

  async function setUpSecond(on: typeof connection): Promise<number> {
    await on.until(() => on.requests === 2, 'the second request');
    return on.requests;
  }
});

test('an answer of unknown length ends with the agent’s trailer', async () => {
  const { says, connection } = await setUp(GET);
  says(answer(200, {}), data('some'));
  await connection.until(() => connection.received.includes('some'), 'the body');
  assert.ok(!connection.received.endsWith('0\r\n\r\n'));
  says(data('more'), trailer);
  await connection.until(() => connection.received.endsWith('0\r\n\r\n'), 'the end');
  assert.match(connection.received, /4\r\nmore\r\n/);
});

test('an answer that breaks off in the turn in which it came is sent as far as it goes, and cut', async () => {
  for (const said of [[], [data('some')]]) {
    const { says, ends, connection } = await setUp(GET);
    says(answer(200, {}), ...said);
    ends({ code: StatusCode.Internal, message: 'the cluster has gone' });
    await connection.until(() => connection.ended, 'the end');
    assert.match(connection.received, /^HTTP\/1\.1 200 OK\r\n/);
    assert.equal(connection.received.includes('some'), said.length > 0);
    assert.ok(!connection.received.endsWith('0\r\n\r\n'));
  }
});

test('a head leaves alone when no body comes with it', async () => {
  const { says, connection } = await setUp(GET);
  says(answer(200, { Watch: 'yes' }));
  await connection.until(() => connection.received.endsWith('\r\n\r\n'), 'the head');
  assert.match(connection.received, /\r\nWatch: yes\r\n/);
});

test('the bytes of a value arrive as they are, with a body and without', async () => {
  const utf8 = Buffer.from('caf\u00e9').toString('latin1');
  for (const said of [[], [data('some')]]) {
    const { says, connection } = await setUp(GET);
    says(answer(200, { Warning: utf8 }), ...said);
    await connection.until(() => connection.received.includes('\r\n\r\n'), 'the head');
    assert.match(connection.received, new RegExp(`\r\nWarning: ${utf8}\r\n`));
  }
});

test('never a byte more than the length, and no whole answer with less', async () => {
  const tooLong: [string, ReturnType<typeof data>[]][] = [
    ['0', [data('x')]],
    ['3', [data('abcd')]],
    ['3', [data('ab'), data('cd')]],
    ['3', [data('abc'), data('d')]],
  ];
  for (const [length, parts] of tooLong) {
    const { says, call, connection } = await setUp(GET);
    says(answer(200, { 'Content-Length': length }), ...parts);
    await connection.until(() => connection.ended, 'the end');
    assert.equal(call.cancelled?.message, 'the answer is longer than its Content-Length');
    const [, body = ''] = connection.received.split('\r\n\r\n');
    assert.ok(body.length <= Number(length), `${length}: ${body}`);
  }
  const { says, call, connection } = await setUp(GET);
  says(answer(200, { 'Content-Length': '3' }), data('ab'), trailer);
  await connection.until(() => connection.ended, 'the end');
  assert.equal(call.cancelled?.message, 'the answer is shorter than its Content-Length');
});

test('answers to HEAD, 204 and 304 have no body whatever their length says', async () => {
  for (const [request, status] of [
    [GET.replace('GET', 'HEAD'), 200],
    [GET, 204],
    [GET, 304],
  ] as const) {
    const { says, connection, call } = await setUp(request);
    says(answer(status, { 'Content-Length': '100' }), trailer);
    await connection.until(() => connection.received.endsWith('\r\n\r\n'), 'the head');
    assert.match(connection.received, /Content-Length: 100/);
    await connection.settle();
    assert.deepEqual([connection.ended, call.cancelled], [false, undefined]);

    const loose = await setUp(request);
    loose.says(answer(status, { 'Content-Length': '100' }), data('x'));
    await loose.connection.until(() => loose.connection.ended, 'the end');
    assert.ok(!loose.connection.received.includes('\r\n\r\nx'));
  }
});

test('an answer that was sent whole is not cancelled because its connection is done with it', async () => {
  const { says, ends, connection, call } = await setUp(GET);
  says(answer(200, { 'Content-Length': '2' }), data('ok'));
  await connection.until(() => connection.received.endsWith('ok'), 'the body');
  await connection.settle();
  says(trailer);
  ends(ok);
  assert.equal(call.cancelled, undefined);
});

test('an empty message of data means nothing', async () => {
  const { says, connection } = await setUp(GET);
  says(answer(200, { 'Content-Length': '1' }), data(''), data('x'), data(''), trailer);
  await connection.until(() => connection.received.endsWith('\r\n\r\nx'), 'the body');
  await connection.settle();
  assert.equal(connection.ended, false);
});

test('a body is sent in chunks, and ended', async () => {
  const { sent, connection } = await setUp('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n');
  connection.write('b'.repeat(70_000));
  await connection.until(() => sent().includes('trailer'), 'the trailer');
  const parts = sent();
  assert.equal(parts[0], 'header POST /x 70000');
  const sizes = parts.slice(1, -1).map((part) => part.length - 'data '.length);
  assert.ok(
    sizes.every((size) => size > 0 && size <= 32 << 10),
    `${sizes}`,
  );
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    70_000,
  );
});

test('a chunked body of unknown length is sent as it comes', async () => {
  const { sent, call, connection } = await setUp('POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  connection.write('3\r\nabc\r\n');
  await connection.until(() => sent().length === 2, 'the first chunk');
  connection.write('2\r\nde\r\n0\r\n\r\n');
  await connection.until(() => call.done.at(-1) === 'halfClose', 'the end');
  assert.deepEqual(sent(), ['header POST /x -1', 'data abc', 'data de', 'trailer']);
});

test('a slow agent stops the upload until it is ready again', async () => {
  const { sent, call, connection } = await setUp('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n');
  call.ready = false;
  const block = 'b'.repeat(100_000);
  for (let i = 0; i < 40; i++) connection.write(block);
  await connection.settle();
  const early = bytes(sent());
  assert.ok(early < 1_000_000, `${early} bytes were taken`);
  call.drain();
  await connection.until(() => sent().includes('trailer'), 'the trailer');
  assert.equal(bytes(sent()), 4_000_000);
});

function bytes(sent: string[]): number {
  return sent.filter((part) => part.startsWith('data ')).reduce((sum, part) => sum + part.length - 5, 0);
}

test('a slow client stops the agent until it has read', async () => {
  const { says, call, connection } = await setUp(GET);
  connection.client.pause();
  says(answer(200, { 'Content-Length': '3200000' }));
  const chunk = 'c'.repeat(32_000);
  let written = 0;
  for (; written < 100 && !call.paused; written++) says(data(chunk));
  assert.ok(written < 100, 'nobody was stopped');
  connection.client.resume();
  for (; written < 100; written++) {
    await connection.until(() => !call.paused, 'the client to be ready');
    says(data(chunk));
  }
  says(trailer);
  await connection.until(() => connection.received.length > 3_200_000, 'the body');
});

test('a client that leaves cancels the call', async () => {
  for (const before of [[], [answer(200, {})], [answer(200, {}), data('x')]]) {
    const { says, call, connection } = await setUp(GET);
    says(...before);
    await connection.settle();
    connection.client.destroy();
    await connection.until(() => call.cancelled !== undefined, 'the cancellation');
    assert.deepEqual(
      call.done.filter((what) => what.startsWith('cancel')),
      [CANCELLED],
    );
  }
});

test('a client that leaves in the middle of its body cancels the call', async () => {
  const { call, connection } = await setUp('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc');
  await connection.settle();
  connection.client.destroy();
  await connection.until(() => call.cancelled !== undefined, 'the cancellation');
  assert.ok(!call.done.includes('halfClose'));
});

test('a client that leaves after the agent has said everything cancels nothing', async () => {
  const { says, call, connection } = await setUp(GET);
  says(answer(200, {}), data('x'), trailer);
  connection.client.destroy();
  await connection.settle();
  assert.equal(call.cancelled, undefined);
});

test('a client that leaves after an early answer, its body unsent, cancels the call: the agent would wait for the rest', async () => {
  const { says, call, connection } = await setUp('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc');
  says(answer(413, { 'Content-Length': '3' }), data('big'), trailer);
  await connection.until(() => connection.received.endsWith('big'), 'the answer');
  connection.client.destroy();
  await connection.until(() => call.cancelled !== undefined, 'the cancellation');
});

test('an early answer reaches a client that is still sending, and what it sends then is dropped', async () => {
  const { says, ends, sent, call, connection } = await setUp(
    'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n',
  );
  call.ready = false; // the agent reads nothing, as it has refused
  for (let i = 0; i < 3; i++) connection.write('b'.repeat(90_000));
  await connection.settle();
  says(answer(413, { 'Content-Length': '3' }), data('big'), trailer);
  ends(ok);
  await connection.until(() => connection.received.endsWith('big'), 'the answer');
  const before = sent().length;
  connection.write(`${'b'.repeat(30_000)}${GET}`);
  await connection.until(() => connection.requests === 2, 'the next request');
  assert.equal(bytes(sent().slice(before)), 0);
});

test('a client that goes on sending after its answer is cut off', async () => {
  const { says, ends, call, connection } = await setUp(
    'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n',
  );
  call.ready = false;
  connection.write('b'.repeat(90_000));
  await connection.settle();
  says(answer(413, { 'Content-Length': '3' }), data('big'), trailer);
  ends(ok);
  for (let i = 0; i < 30; i++) connection.write('b'.repeat(90_000));
  await connection.until(() => connection.ended, 'the end of the connection');
});

test('a call that fails before the answer becomes an error for the client', async () => {
  const { ends, connection } = await setUp(GET);
  ends(failed(14, 'no such service'));
  await connection.until(() => connection.received.includes('\r\n\r\n'), 'the answer');
  assert.match(connection.received, /^HTTP\/1\.1 502 /);
  assert.match(
    connection.received,
    /failed to read gRPC response: rpc error: code = Unavailable desc = no such service/,
  );
});

test('a call that ends well without an answer is an error, too', async () => {
  const { ends, connection } = await setUp(GET);
  ends(ok);
  await connection.until(() => connection.received.includes(' desc = '), 'the answer');
  assert.match(connection.received, /^HTTP\/1\.1 502 /);
  assert.match(connection.received, /transition from -2 to -1 is not allowed\. Allowed: \[1\]/);
});

test('a call that found too many others waiting is no failure of the agent', async () => {
  const { ends, connection } = await setUp(GET);
  ends(OVERLOADED);
  await connection.until(() => connection.received.includes('try again later'), 'the answer');
  assert.match(connection.received, /^HTTP\/1\.1 503 /);
});

test('a call that fails in the middle of the answer breaks the connection off', async () => {
  for (const status of [ok, failed(14, 'gone')]) {
    const { says, ends, connection } = await setUp(GET);
    says(answer(200, {}), data('half'));
    await connection.settle();
    ends(status);
    await connection.until(() => connection.ended, 'the end');
    assert.ok(!connection.received.endsWith('0\r\n\r\n'));
  }
});

test('an agent that breaks the rules is told so, and the client gets no half answer', async () => {
  const cases: [Parameters<Awaited<ReturnType<typeof setUp>>['says']>, string][] = [
    [[data('x')], 'transition from -2 to 2 is not allowed. Allowed: [1]'],
    [[trailer], 'transition from -2 to 3 is not allowed. Allowed: [1]'],
    [[upgradeData('x')], 'transition from -2 to 4 is not allowed. Allowed: [1]'],
    [[undefined], 'invalid server response: invalid HttpResponse.Message: value is required'],
    [[{ case: 'header', value: {} }], 'invalid server response: invalid HttpResponse.Header: value is required'],
    [[answer(999_999, {})], 'the cluster answered with a malformed status or header'],
    [[answer(0, {})], 'the cluster answered with a malformed status or header'],
    [[answer(103, {})], 'the cluster answered with a malformed status or header'],
    [[answer(200, { Bad: 'a\r\nb' })], 'the cluster answered with a malformed status or header'],
  ];
  for (const [parts, message] of cases) {
    const { says, call, connection } = await setUp(GET);
    says(...parts);
    await connection.until(() => connection.received.includes(message), 'the answer');
    assert.equal(call.cancelled?.message, message);
    assert.match(connection.received, /^HTTP\/1\.1 502 /);
  }
});

test('an agent that breaks the rules later breaks the connection', async () => {
  const cases: [Parameters<Awaited<ReturnType<typeof setUp>>['says']>, string][] = [
    [[answer(200, {}), answer(200, {})], 'transition from 1 to 1 is not allowed. Allowed: [2 3]'],
    [[answer(200, {}), data('x'), upgradeData('y')], 'transition from 2 to 4 is not allowed. Allowed: [2 3]'],
  ];
  for (const [parts, message] of cases) {
    const { says, call, connection } = await setUp(GET);
    says(...parts);
    await connection.until(() => connection.ended, 'the end');
    assert.equal(call.cancelled?.message, message);
  }
});

test('upgrade data without an upgrade are an error', async () => {
  const { says, call } = await setUp(GET);
  says(answer(200, {}), trailer, upgradeData('x'));
  assert.equal(call.cancelled?.message, 'unexpected field number received: 4');
});

test('bytes that are no message are an error', async () => {
  const { opened, call, connection } = await setUp(GET);
  opened.sink.message(Buffer.of(0xff));
  await connection.until(() => connection.received.startsWith('HTTP/1.1 502 '), 'the answer');
  assert.equal(call.cancelled?.message, 'proto: cannot parse invalid wire-format data');
});

test('a switch of protocols that nobody asked for is refused', async () => {
  const { says, call, connection } = await setUp(GET);
  says(answer(101, { Upgrade: 'tcp' }), trailer);
  await connection.until(() => connection.received.includes('unable to upgrade connection'), 'the answer');
  assert.match(connection.received, /^HTTP\/1\.1 500 /);
  assert.ok(call.cancelled);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, data, failed, ok, setUp, trailer, upgradeData } from '../../test/support/doubles/exchange.ts';

const UPGRADE = 'GET /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
const switching = answer(101, { Upgrade: 'tcp', Connection: 'upgrade' });

/** A client whose connection has been switched. */
async function upgraded(early = '') {
  const all = await setUp(UPGRADE + early);
  all.says(switching, trailer);
  await all.connection.until(() => all.connection.received.includes('\r\n\r\n'), 'the head');
  return all;
}

test('an upgrade is not half-closed with its request', async () => {
  const { sent, call } = await setUp(UPGRADE);
  assert.deepEqual(sent(), ['header GET /exec 0', 'trailer']);
  assert.ok(!call.done.includes('halfClose'));
});

test('after the switch bytes go both ways, unchanged', async () => {
  const { sent, says, connection, call } = await upgraded();
  assert.match(
    connection.received,
    /^HTTP\/1\.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: upgrade\r\nDate: [^\r]+ GMT\r\n\r\n$/,
  );
  connection.write('\0\xff in');
  await connection.until(() => sent().length === 3, 'the bytes');
  assert.equal(sent()[2], 'upgradeData \0\xff in');
  says(upgradeData('\0\xfe out'));
  await connection.until(() => connection.received.endsWith('\0\xfe out'), 'the bytes');
  assert.equal(call.cancelled, undefined);
});

test('what the client sent before the switch goes first, and only after it', async () => {
  const { sent, says, connection } = await setUp(`${UPGRADE}early`);
  connection.write(' birds');
  await connection.settle();
  says(switching);
  await connection.settle();
  assert.equal(sent().length, 2);
  says(trailer);
  await connection.until(() => sent().slice(2).join('').replaceAll('upgradeData ', '') === 'early birds', 'the bytes');
});

test('many bytes are sent in chunks', async () => {
  const { sent, connection } = await upgraded('x'.repeat(40_000));
  connection.write('y'.repeat(70_000));
  const pieces = () =>
    sent()
      .slice(2)
      .map((part) => part.slice('upgradeData '.length));
  await connection.until(() => pieces().join('').length === 110_000, 'the bytes');
  assert.equal(pieces().join(''), 'x'.repeat(40_000) + 'y'.repeat(70_000));
  assert.ok(pieces().every((piece) => piece.length <= 32 << 10));
});

test('a client that has finished half-closes, and may still listen', async () => {
  const { says, ends, connection, call, clock } = await upgraded();
  connection.client.end();
  await connection.until(() => call.done.includes('halfClose'), 'the half-close');
  clock.advance(4999);
  says(upgradeData('last words'));
  ends(ok);
  await connection.until(() => connection.ended, 'the end');
  assert.ok(connection.received.endsWith('last words'));
  assert.equal(call.cancelled, undefined);
  assert.equal(clock.pendingTimers, 0);
});

test('an agent that does not end after that is given 5 s', async () => {
  const { connection, call, clock } = await upgraded();
  connection.client.end();
  await connection.until(() => call.done.includes('halfClose'), 'the half-close');
  clock.advance(5000);
  assert.equal(call.cancelled?.message, 'Incoming stream closed: context canceled');
  await connection.until(() => connection.ended, 'the end');
});

test('the 5 s begin anew with all that the agent still says', async () => {
  const { says, ends, connection, call, clock } = await upgraded();
  connection.client.end();
  await connection.until(() => call.done.includes('halfClose'), 'the half-close');
  for (const word of ['a', 'long', 'answer']) {
    clock.advance(4999);
    says(upgradeData(word));
  }
  assert.equal(call.cancelled, undefined);
  ends(ok);
  await connection.until(() => connection.ended, 'the end');
  assert.ok(connection.received.endsWith('alonganswer'));
  assert.equal(clock.pendingTimers, 0);
});

test('a client that breaks off cancels the call, once', async () => {
  const { connection, call } = await upgraded();
  connection.client.destroy();
  await connection.until(() => call.cancelled !== undefined, 'the cancellation');
  await connection.settle();
  assert.equal(call.done.filter((what) => what.startsWith('cancel')).length, 1);
});

test('a client that breaks off before the switch cancels the call', async () => {
  const { connection, call } = await setUp(UPGRADE);
  connection.client.destroy();
  await connection.until(() => call.cancelled !== undefined, 'the cancellation');
});

test('the end of the call ends the connection, whatever its outcome', async () => {
  for (const status of [ok, failed(14, 'gone')]) {
    const { says, ends, connection, call } = await upgraded();
    says(upgradeData('bye'));
    await connection.settle();
    ends(status);
    await connection.until(() => connection.ended, 'the end');
    assert.ok(connection.received.endsWith('bye'));
    assert.equal(call.cancelled, undefined);
  }
});

test('a slow agent stops the client', async () => {
  const { sent, connection, call } = await upgraded();
  call.ready = false;
  for (let i = 0; i < 40; i++) connection.write('x'.repeat(100_000));
  await connection.settle();
  const taken = () =>
    sent()
      .slice(2)
      .reduce((sum, part) => sum + part.length - 'upgradeData '.length, 0);
  assert.ok(taken() < 1_000_000, `${taken()} bytes were taken`);
  call.drain();
  await connection.until(() => taken() === 4_000_000, 'the rest');
});

test('a slow client stops the agent', async () => {
  const { says, connection, call } = await upgraded();
  connection.client.pause();
  let written = 0;
  for (; written < 100 && !call.paused; written++) says(upgradeData('x'.repeat(32_000)));
  assert.ok(written < 100, 'nobody was stopped');
  connection.client.resume();
  await connection.until(() => !call.paused, 'the client to be ready');
});

test('a body after the switch is an error', async () => {
  const { says, connection, call } = await setUp(UPGRADE);
  says(switching, data('x'));
  assert.equal(call.cancelled?.message, 'unexpected field number received: 2');
  await connection.until(() => connection.ended, 'the end');
});

test('a refused upgrade is an ordinary answer, half-closed at its end, and the connection serves on', async () => {
  for (const headers of [{ 'Content-Length': '2' }, {}]) {
    const { says, ends, connection, call } = await setUp(UPGRADE);
    says(answer(403, headers), data('no'));
    await connection.settle();
    assert.ok(!call.done.includes('halfClose'));
    says(trailer);
    assert.equal(call.done.at(-1), 'halfClose');
    ends(ok);
    await connection.until(() => connection.received.includes('no'), 'the answer');
    assert.match(connection.received, /^HTTP\/1\.1 403 /);
    connection.write('GET /next HTTP/1.1\r\nHost: x\r\n\r\n');
    await connection.until(() => connection.requests === 2, 'the next request');
    assert.equal(call.cancelled, undefined);
  }
});

test('what a refused client sent too early is its next request', async () => {
  const { says, ends, connection } = await setUp(`${UPGRADE}GET /next HTTP/1.1\r\nHost: x\r\n\r\n`);
  says(answer(403, { 'Content-Length': '0' }), trailer);
  ends(ok);
  await connection.until(() => connection.requests === 2, 'the next request');
});

test('a refused client that wants no further request has its connection closed', async () => {
  const { says, ends, connection } = await setUp(UPGRADE.replace('Upgrade\r\n', 'close, Upgrade\r\n'));
  says(answer(403, { 'Content-Length': '2' }), data('no'), trailer);
  ends(ok);
  await connection.until(() => connection.ended, 'the end');
  assert.match(connection.received, /\r\nConnection: close\r\n/);
  assert.ok(connection.received.endsWith('no'));
});

test('a failed upgrade gets its error, and the connection serves on', async () => {
  const { ends, connection } = await setUp(UPGRADE);
  ends(failed(4, 'Agent connection not found'));
  await connection.until(() => connection.received.includes('Agent connection not found'), 'the error');
  connection.write('GET /next HTTP/1.1\r\nHost: x\r\n\r\n');
  await connection.until(() => connection.requests === 2, 'the next request');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordingCall } from '../../test/support/doubles/recording_call.ts';
import { RecordingSink } from '../../test/support/doubles/recording_sink.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { WaitingCall } from './waiting_call.ts';

const status = { code: StatusCode.Canceled, message: 'no more' };

function setUp() {
  const sink = new RecordingSink();
  let stops = 0;
  let drains = 0;
  const waiting = new WaitingCall(sink, () => stops++);
  waiting.onDrain(() => drains++);
  const call = new RecordingCall();
  return { sink, waiting, call, stops: () => stops, drains: () => drains };
}

test('what is written meanwhile is handed over in order, and leaves together', () => {
  const { waiting, call, stops } = setUp();
  assert.equal(waiting.write(Buffer.from('a'), true), true);
  assert.equal(waiting.write(Buffer.from('b'), true), true);
  waiting.halfClose();
  assert.equal(stops(), 0);
  waiting.connect(call);
  assert.deepEqual(call.messages.map(String), ['a', 'b']);
  assert.deepEqual(call.done, ['write, more', 'write, more', 'halfClose']);
  assert.equal(stops(), 1);
});

test('a writer is stopped at once, and goes on when the tunnel is there', () => {
  const { waiting, call, drains } = setUp();
  assert.equal(waiting.write(Buffer.from('head'), true), true);
  assert.equal(waiting.write(Buffer.from('body')), false);
  assert.equal(drains(), 0);
  waiting.connect(call);
  assert.deepEqual(call.done, ['write, more', 'write']);
  assert.equal(drains(), 1);
});

test('a writer goes on later if the tunnel is slow itself', () => {
  const { waiting, call, drains } = setUp();
  waiting.write(Buffer.from('body'));
  call.ready = false;
  waiting.connect(call);
  assert.equal(drains(), 0);
  call.drain();
  assert.equal(drains(), 1);
});

test('a writer who was not stopped is not woken', () => {
  const { waiting, call, drains } = setUp();
  waiting.connect(call);
  assert.equal(drains(), 0);
  assert.deepEqual(call.done, []);
});

test('a pause is handed over before the first message can come', () => {
  const { waiting, call } = setUp();
  waiting.write(Buffer.from('a'));
  waiting.pause();
  waiting.connect(call);
  assert.deepEqual(call.done, ['pause', 'write']);
  waiting.resume();
  assert.equal(call.paused, false);

  const resumed = setUp();
  resumed.waiting.pause();
  resumed.waiting.resume();
  resumed.waiting.connect(resumed.call);
  assert.deepEqual(resumed.call.done, []);
});

test('once connected, everything goes straight on', () => {
  const { waiting, call, drains } = setUp();
  waiting.connect(call);
  call.ready = false;
  assert.equal(waiting.write(Buffer.from('a')), false);
  call.drain();
  assert.equal(drains(), 1);
  assert.equal(waiting.write(Buffer.from('b'), true), true);
  waiting.pause();
  waiting.resume();
  waiting.halfClose();
  waiting.cancel(status);
  assert.deepEqual(call.done, ['write', 'write, more', 'pause', 'resume', 'halfClose', 'cancel 1 no more']);
});

test('a function for draining may also be set later', () => {
  const { waiting, call } = setUp();
  waiting.connect(call);
  let late = 0;
  waiting.onDrain(() => late++);
  call.drain();
  assert.equal(late, 1);
});

test('a failure ends the call once, and nothing is kept', () => {
  const { waiting, sink, stops } = setUp();
  waiting.write(Buffer.from('a'));
  waiting.fail(status);
  waiting.fail(status);
  waiting.cancel(status);
  assert.deepEqual(sink.heard, ['end 1 no more']);
  assert.equal(waiting.write(Buffer.from('b')), true);
  assert.equal(stops(), 1);
});

test('who cancels while waiting hears nothing more', () => {
  const { waiting, sink, stops } = setUp();
  waiting.cancel(status);
  waiting.cancel(status);
  waiting.fail(status);
  assert.deepEqual(sink.heard, []);
  assert.equal(stops(), 1);
});

test('there is no failure once connected', () => {
  const { waiting, sink, call } = setUp();
  waiting.connect(call);
  waiting.fail(status);
  assert.deepEqual(sink.heard, []);
});

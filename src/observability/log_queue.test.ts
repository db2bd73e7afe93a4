import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createLogQueue, type LogQueue, type Output } from './log_queue.ts';

type Done = Parameters<Output>[1];

/** An output that waits until the test lets it go on. */
function stalled(limitBytes: number): { clock: FakeClock; queue: LogQueue; writes: { text: string; done: Done }[] } {
  const clock = new FakeClock();
  const writes: { text: string; done: Done }[] = [];
  const output: Output = (bytes, done) => void writes.push({ text: bytes.toString(), done });
  const droppedLine = (count: number): string => `${count} dropped\n`;
  return { clock, queue: createLogQueue({ clock, output, limitBytes, droppedLine }), writes };
}

const complete = ({ text, done }: { text: string; done: Done }): void => done(null, Buffer.byteLength(text));

describe('the log’s queue', () => {
  test('writes one batch at a time, in order', () => {
    const { queue, writes } = stalled(100);
    queue.write('a\n');
    queue.write('b\n');
    queue.write('c\n');
    assert.deepEqual(
      writes.map(({ text }) => text),
      ['a\n'],
    );
    complete(writes[0]!);
    assert.equal(writes[1]?.text, 'b\nc\n');
  });

  test('goes on after a partial write, and after a full pipe', () => {
    const { clock, queue, writes } = stalled(100);
    queue.write('abcdef\n');
    writes[0]!.done(null, 2);
    assert.equal(writes[1]?.text, 'cdef\n');
    writes[1]!.done(Object.assign(new Error('full'), { code: 'EAGAIN' }), 0);
    assert.equal(writes.length, 2);
    clock.advance(100);
    assert.equal(writes[2]?.text, 'cdef\n');
  });

  test('counts each of several lines that come together and are dropped', () => {
    const { queue } = stalled(10);
    queue.write('a\n');
    queue.write('one\ntwo\nthree\n');
    assert.equal(queue.dropped, 3);
  });

  test('tries again, ever more seldom, while the disk is full', () => {
    const { clock, queue, writes } = stalled(100);
    queue.write('a\n');
    assert.equal(queue.hangs, true);
    const full = (at: number) => writes[at]!.done(Object.assign(new Error('full'), { code: 'ENOSPC' }), 0);
    for (const [i, waitMs] of [20, 40, 80, 160, 320, 640, 1000, 1000].entries()) {
      full(i);
      assert.equal(queue.hangs, false);
      clock.advance(waitMs - 1);
      assert.equal(writes.length, i + 1);
      clock.advance(1);
    }
    assert.deepEqual([...new Set(writes.map(({ text }) => text))], ['a\n']);
    complete(writes.at(-1)!);
    queue.write('b\n');
    full(writes.length - 1);
    clock.advance(20);
    assert.equal(writes.at(-1)?.text, 'b\n');
  });

  test('drops and counts what has no room, and says so later', () => {
    const { queue, writes } = stalled(8);
    for (const line of ['one\n', 'two\n', 'six\n', 'ten\n', 'elf\n']) queue.write(line);
    assert.equal(queue.dropped, 2);
    complete(writes[0]!);
    assert.equal(writes[1]?.text, 'two\nsix\n2 dropped\n');
    complete(writes[1]!);
    queue.write('new\n');
    assert.equal(writes[2]?.text, 'new\n');
  });

  test('flushes: everything is out', async () => {
    const { queue, writes } = stalled(100);
    assert.equal(await queue.flush(1000), true);
    queue.write('a\n');
    queue.write('b\n');
    let flushed = false;
    const flush = queue.flush(1000).then((everything) => {
      flushed = everything;
    });
    complete(writes[0]!);
    await Promise.resolve();
    assert.equal(flushed, false);
    complete(writes[1]!);
    await flush;
    assert.equal(flushed, true);
  });

  test('flushes: not for ever', async () => {
    const { clock, queue } = stalled(100);
    queue.write('a\n');
    const flush = queue.flush(1000);
    clock.advance(1000);
    assert.equal(await flush, false);
  });

  test('lives on when nobody reads any more', async () => {
    const { queue, writes } = stalled(100);
    queue.write('a\n');
    queue.write('b\n');
    writes[0]!.done(Object.assign(new Error('gone'), { code: 'EPIPE' }), 0);
    queue.write('c\n');
    await queue.flush(1000);
    assert.equal(writes.length, 1);
    assert.equal(queue.dropped, 1);
  });
});

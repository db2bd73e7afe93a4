// The log's queue over what standard error can be: a pipe whose reader stops, a disk that is full.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { createLogQueue, type LogQueue } from '../../../src/observability/log_queue.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { fileOutput } from '../../../src/runtime/file_output.ts';
import { eventually } from '../../support/wait.ts';

const LIMIT_BYTES = 256 * 1024;

function queueTo(fd: number): LogQueue {
  const droppedLine = (count: number) => `dropped ${count}\n`;
  return createLogQueue({ clock: systemClock, output: fileOutput(fd), limitBytes: LIMIT_BYTES, droppedLine });
}

/** Writes numbered lines of 100 bytes, and measures the longest pause that it makes for others meanwhile. */
async function writeLines(queue: LogQueue, from: number, to: number): Promise<number> {
  let longestMs = 0;
  for (let i = from; i < to; i++) {
    const startedMs = performance.now();
    queue.write(`${String(i).padStart(98, '.')}\n`);
    longestMs = Math.max(longestMs, performance.now() - startedMs);
    if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return longestMs;
}

/** Every line that was written is there or among the dropped ones, in order, and none is broken. */
function assertComplete(text: string, written: number): void {
  const lines = text.split('\n');
  assert.equal(lines.pop(), '');
  let dropped = 0;
  let last = -1;
  let seen = 0;
  for (const line of lines) {
    const count = /^dropped (\d+)$/.exec(line)?.[1];
    if (count !== undefined) {
      dropped += Number(count);
      continue;
    }
    const number = Number(/^\.*(\d+)$/.exec(line)?.[1] ?? Number.NaN);
    assert.ok(line.length >= 98 && number > last, `out of order or broken: ${line}`);
    last = number;
    seen++;
  }
  assert.ok(dropped > 0, 'nothing was dropped');
  assert.equal(seen + dropped, written);
}

describe('the log’s output', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'kas-log-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('a reader that stops holds nobody up, and is told what it has missed', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'inherit'] });
    const fd = openSync(fifo, 'w');
    let read = '';
    reader.stdout.setEncoding('utf8').on('data', (text: string) => {
      read += text;
    });
    const queue = queueTo(fd);
    await writeLines(queue, 0, 100);
    await eventually('the first lines', () => read.length === 99 * 100);
    reader.kill('SIGSTOP');
    const longestMs = await writeLines(queue, 100, 20_000);
    assert.ok(longestMs < 1000, `a line took ${longestMs} ms`);
    assert.ok(queue.dropped > 0);
    reader.kill('SIGCONT');
    assert.equal(await queue.flush(10_000), true);
    await writeLines(queue, 20_000, 20_010);
    assert.equal(await queue.flush(10_000), true);
    closeSync(fd);
    await new Promise((resolve) => reader.once('close', resolve));
    assertComplete(read, 20_010);
  });

  test('a device that is always full costs the lines, nothing else', async () => {
    const fd = openSync('/dev/full', 'w');
    const queue = queueTo(fd);
    const longestMs = await writeLines(queue, 0, 20_000);
    assert.ok(longestMs < 1000, `a line took ${longestMs} ms`);
    assert.ok(queue.dropped > 10_000);
    assert.equal(await queue.flush(100), false);
    // It goes on trying, so the file stays open.
  });

  test('a disk with room again gets the lines again', async (t) => {
    const disk = join(folder, 'disk');
    execFileSync('mkdir', [disk]);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      t.skip(`SKIPPED, no file system of our own (${process.getuid?.() === 0 ? String(error) : 'not root'})`);
      return;
    }
    try {
      const ballast = join(disk, 'ballast');
      writeFileSync(ballast, Buffer.alloc(900 * 1024));
      const file = join(disk, 'log');
      const fd = openSync(file, 'a');
      const queue = queueTo(fd);
      await writeLines(queue, 0, 8000);
      assert.equal(await queue.flush(300), false);
      assert.ok(queue.dropped > 0);
      rmSync(ballast);
      assert.equal(await queue.flush(10_000), true);
      await writeLines(queue, 8000, 8010);
      assert.equal(await queue.flush(10_000), true);
      closeSync(fd);
      assertComplete(readFileSync(file, 'utf8'), 8010);
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });
});

import type { Clock } from '../runtime/clock.ts';

/** Writes some of the bytes and tells how many; like fs.write, it may fail with EAGAIN. */
export type Output = (bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void) => void;

/** Lines on their way out, so that nobody waits for whoever reads the log. */
export interface LogQueue {
  /** Takes whole lines, one as a rule, or counts them as dropped when too much waits already. */
  write(lines: string): void;
  /** Lines dropped so far. */
  readonly dropped: number;
  /** Whether a write hangs in its thread. */
  readonly hangs: boolean;
  /** Resolves with true when everything is out, or after `deadlineMs` with false. */
  flush(deadlineMs: number): Promise<boolean>;
}

export interface LogQueueOptions {
  readonly clock: Clock;
  readonly output: Output;
  /** How many bytes may wait. */
  readonly limitBytes: number;
  /** The line that tells of `count` dropped lines once there is room again. */
  readonly droppedLine: (count: number) => string;
}

/** How long to leave a full pipe alone that does not block, at first and at most. */
const firstRetryMs = 20;
const lastRetryMs = 1000;

/** What passes: a pipe that is full, a disk that is. Anything else means that nobody will ever read the log again. */
const passing = new Set(['EAGAIN', 'EINTR', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']);

/**
 * `process.stderr` blocks the whole process while a pipe is full; this writes off the main thread, one write at a time.
 */
export function createLogQueue({ clock, output, limitBytes, droppedLine }: LogQueueOptions): LogQueue {
  let waiting: string[] = [];
  let waitingBytes = 0;
  let dropped = 0;
  let toldOf = 0;
  let writing = false;
  let broken = false;
  let hangs = false;
  let retryMs = firstRetryMs;
  let flushed: (() => void)[] = [];

  const next = (): void => {
    if (dropped > toldOf && !broken) {
      waiting.push(droppedLine(dropped - toldOf));
      toldOf = dropped;
    }
    if (waiting.length === 0 || broken) {
      writing = false;
      for (const resolve of flushed.splice(0)) resolve();
      return;
    }
    writing = true;
    const batch = Buffer.from(waiting.join(''));
    waiting = [];
    waitingBytes = 0;
    put(batch);
  };
  const put = (bytes: Buffer): void => {
    hangs = true;
    output(bytes, (error, written) => {
      hangs = false;
      if (error && passing.has(error.code ?? '')) {
        clock.startTimer(retryMs, () => put(bytes));
        retryMs = Math.min(lastRetryMs, 2 * retryMs);
        return;
      }
      retryMs = firstRetryMs;
      if (error) {
        // Nobody reads the log any more; the process goes on without it.
        broken = true;
        waiting = [];
        next();
      } else if (written < bytes.length) put(bytes.subarray(written));
      else next();
    });
  };
  return {
    write(lines) {
      const bytes = Buffer.byteLength(lines);
      if (broken || waitingBytes + bytes > limitBytes) {
        dropped += lines.split('\n').length - 1;
        return;
      }
      waiting.push(lines);
      waitingBytes += bytes;
      if (!writing) next();
    },
    get dropped() {
      return dropped;
    },
    get hangs() {
      return hangs;
    },
    flush(deadlineMs) {
      if (!writing) return Promise.resolve(true);
      return new Promise((resolve) => {
        const end = (everything: boolean): void => {
          timer.stop();
          flushed = flushed.filter((other) => other !== done);
          resolve(everything);
        };
        const done = (): void => end(true);
        const timer = clock.startTimer(deadlineMs, () => end(false));
        flushed.push(done);
      });
    },
  };
}

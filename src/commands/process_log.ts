import process from 'node:process';
import { Hint } from '../observability/hints.ts';
import { createJsonLog } from '../observability/json_log.ts';
import type { Level, Log } from '../observability/log.ts';
import { createLogQueue } from '../observability/log_queue.ts';
import { errorText } from '../runtime/app_error.ts';
import { systemClock } from '../runtime/clock.ts';
import { fileOutput } from '../runtime/file_output.ts';

/** Lines that wait for a slow reader of standard error; then they are dropped, and counted. */
const logBytes = 4 * 1024 * 1024;

const STDERR = 2;

/** How long the last lines may take to get out. */
const flushMs = 1000;

/** The log of this process, on its standard error. */
export interface ProcessLog {
  readonly log: Log;
  /** Goes the same way, and has a level of its own: of gRPC connections. */
  readonly grpcLog: Log;
  /** Takes whole lines of another process's log, with their newlines. */
  pass(lines: string): void;
  /** How many lines have got lost so far. */
  dropped(): number;
  /** To be awaited before the process ends. Ends it itself if nobody reads its log any more. */
  flush(): Promise<void>;
}

export function openProcessLog(levels: { readonly level: Level; readonly grpcLevel: Level }): ProcessLog {
  const queue = createLogQueue({
    clock: systemClock,
    output: fileOutput(STDERR),
    limitBytes: logBytes,
    droppedLine: (count) => {
      const lines: string[] = [];
      const write = (line: string): void => void lines.push(line);
      createJsonLog({ level: 'warn', clock: systemClock, write }).warn('Log lines dropped', { count });
      return lines.join('');
    },
  });
  const logAt = (level: Level) => createJsonLog({ level, clock: systemClock, write: (line) => queue.write(line) });
  return {
    log: logAt(levels.level),
    grpcLog: logAt(levels.grpcLevel),
    pass: (lines) => queue.write(lines),
    dropped: () => queue.dropped,
    async flush() {
      // Whoever should read our standard error has stopped; a thread hangs in its write, and would hang the exit too.
      if (!(await queue.flush(flushMs)) && queue.hangs) process.kill(process.pid, 'SIGKILL');
    },
  };
}

/**
 * An exception that nobody caught is a defect in the handling of one request or one agent. All the others are served by the
 * same process, so it goes on: if a request could end it, whoever may send requests could.
 */
export function surviveDefects(log: Log): void {
  process.on('uncaughtException', (error: unknown) => {
    log.error('Defect: nobody caught this exception', {
      error: errorText(error),
      hint: Hint.defect,
      stack: error instanceof Error ? error.stack : undefined,
    });
  });
}

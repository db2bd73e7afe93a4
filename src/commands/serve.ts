import process from 'node:process';
import { runServer } from '../app/server.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { createJsonLog } from '../observability/json_log.ts';
import type { Log } from '../observability/log.ts';
import { createLogQueue, standardError } from '../observability/log_queue.ts';
import { errorText } from '../runtime/app_error.ts';
import { systemClock } from '../runtime/clock.ts';
import { abort, type Console } from './console.ts';
import { aboutProblems } from './problems.ts';

/** Lines that wait for a slow reader of standard error; then they are dropped, and counted. */
const logBytes = 4 * 1024 * 1024;

/** How long the last lines may take to get out. */
const flushMs = 1000;

/** Serves until a signal comes. Resolves with the exit status when everything is stopped. */
export async function serve(file: string, console: Console): Promise<0 | 1> {
  const loaded = await loadConfig(file);
  if ('problems' in loaded) return abort(console, aboutProblems(loaded.problems));
  const { config, warnings } = loaded;
  const { level } = config.observability.logging;
  const queue = createLogQueue({
    clock: systemClock,
    output: standardError,
    limitBytes: logBytes,
    droppedLine: (count) => {
      const lines: string[] = [];
      const write = (line: string): void => void lines.push(line);
      createJsonLog({ level: 'warn', clock: systemClock, write }).warn('Log lines dropped', { count });
      return lines.join('');
    },
  });
  const log = createJsonLog({ level, clock: systemClock, write: (line) => queue.write(line) });
  for (const warning of warnings) log.warn(`Configuration: ${formatProblem(warning)}`);
  surviveDefects(log);
  const failure = await runServer({
    config,
    log,
    droppedLogLines: () => queue.dropped,
    signal: shutdownSignal(),
  }).then(
    () => undefined,
    (error: unknown) => errorText(error),
  );
  // Whoever should read our standard error has stopped; a thread hangs in its write, and would hang the exit too.
  if (!(await queue.flush(flushMs))) process.kill(process.pid, 'SIGKILL');
  return failure === undefined ? 0 : abort(console, failure);
}

/**
 * An exception that nobody caught is a defect in the handling of one request or one agent. All the others are served by the
 * same process, so it goes on: if a request could end it, whoever may send requests could.
 */
function surviveDefects(log: Log): void {
  process.on('uncaughtException', (error: unknown) => {
    log.error('Defect: nobody caught this exception', {
      error: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  });
}

/** Aborted by the first SIGINT or SIGTERM. Later ones change nothing: the shutdown has its own deadlines. */
function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => controller.abort(name));
  return controller.signal;
}

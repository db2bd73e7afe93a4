import process from 'node:process';
import { runServer } from '../app/server.ts';
import { runPrimary } from '../app/workers/primary.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import { errorText } from '../runtime/app_error.ts';
import { canHandOverConnections } from '../runtime/own_program.ts';
import { abort, type Console } from './console.ts';
import { aboutProblems } from './problems.ts';
import { openProcessLog, type ProcessLog, surviveDefects } from './process_log.ts';

/** Serves until a signal comes. Resolves with the exit status when everything is stopped. */
export async function serve(file: string, console: Console): Promise<0 | 1> {
  const signal = shutdownSignal(); // before anything takes time
  const loaded = await loadConfig(file);
  if ('problems' in loaded) return abort(console, aboutProblems(loaded.problems));
  const { config, warnings } = loaded;
  const output = openProcessLog(config.observability.logging);
  for (const warning of warnings) output.log.warn(`Configuration: ${formatProblem(warning)}`);
  surviveDefects(output.log);
  const failure = await run(config, output, signal).then(
    () => undefined,
    (error: unknown) => errorText(error),
  );
  await output.flush();
  return failure === undefined ? 0 : abort(console, failure);
}

/** In this process, or in as many workers as the configuration asks for. */
async function run(config: Config, { log, grpcLog, pass, dropped }: ProcessLog, signal: AbortSignal): Promise<void> {
  const { workers } = config.server;
  if (workers === 1) return await runServer({ config, log, grpcLog, droppedLogLines: dropped, signal });
  if (canHandOverConnections) return await runPrimary({ config, log, pass, droppedLogLines: dropped, signal });
  log.warn('server.workers needs the executable, or Node: on Deno one process does all the work', { workers });
  const alone = { ...config, server: { ...config.server, workers: 1 } };
  await runServer({ config: alone, log, grpcLog, droppedLogLines: dropped, signal });
}

/** Aborted by the first SIGINT or SIGTERM. Later ones change nothing: the shutdown has its own deadlines. */
function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => controller.abort(name));
  return controller.signal;
}

import process from 'node:process';
import type { StartMessage } from '../app/workers/start_message.ts';
import { runWorker } from '../app/workers/worker.ts';
import { unpackConfig } from '../config/transfer.ts';
import { errorText } from '../runtime/app_error.ts';
import { Link } from '../runtime/link.ts';
import { hasParent, listenToParent, sendToParent } from '../runtime/own_program.ts';
import { abort, type Console } from './console.ts';
import { openProcessLog, surviveDefects } from './process_log.ts';

/**
 * One of the workers of a server: started by its primary process, which also says when to stop. Signals to the whole process
 * group reach that one, too; a worker goes by its word. It does not outlive it.
 */
export async function worker(console: Console): Promise<0 | 1> {
  if (!hasParent())
    return abort(console, 'worker is for the server itself, which starts as many as server.workers says');
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
  const link = new Link(sendToParent);
  listenToParent(link, () => process.exit(1));
  const start = await link.call<StartMessage>('worker.start');
  const config = unpackConfig(start.config);
  const output = openProcessLog(config.observability.logging);
  const ofWorker = { worker: start.number };
  const log = output.log.with(ofWorker);
  const grpcLog = output.grpcLog.with(ofWorker);
  surviveDefects(log);
  const failure = await runWorker({ link, start, config, log, grpcLog, droppedLogLines: output.dropped }).then(
    () => undefined,
    (error: unknown) => errorText(error),
  );
  await output.flush();
  if (failure === undefined) return 0;
  await link.call('worker.failed', failure);
  return 1;
}

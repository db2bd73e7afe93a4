import type { Config } from '../config/config.ts';
import type { Log } from '../observability/log.ts';

/** Builds everything, serves until `signal` is aborted, drains. Rejects when it cannot start. */
export function runServer({ log, signal }: { config: Config; log: Log; signal: AbortSignal }): Promise<void> {
  log.info('Nothing is served yet');
  return new Promise((resolve) => {
    // A pending promise alone does not keep the process alive.
    const keepAlive = new MessageChannel();
    keepAlive.port1.onmessage = () => {};
    signal.addEventListener('abort', () => {
      keepAlive.port1.close();
      resolve();
    });
  });
}

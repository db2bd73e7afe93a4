import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { eventually, within } from '../wait.ts';

export interface ServerProcess {
  /** Resolves when the process has ended, whyever; says how. */
  readonly ended: Promise<string>;
  /** SIGTERM, and after a while SIGKILL. */
  stop(): Promise<void>;
}

/**
 * Starts the server with its output in `logFile`, and waits until `readinessUrl` says yes. @throws {Error} when it ends before
 */
export async function startServerProcess(
  command: readonly [program: string, ...args: string[]],
  logFile: string,
  readinessUrl: string,
): Promise<ServerProcess> {
  const log = openSync(logFile, 'a', 0o600);
  const [program, ...args] = command;
  // A process group of its own: Ctrl-C in a terminal reaches us alone, and we end things in their order.
  const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(code === null ? `signal ${signal}` : `exit status ${code}`));
  });
  const server: ServerProcess = {
    ended,
    async stop() {
      child.kill('SIGTERM');
      await within('the end of the server', 5000, ended).catch(() => {
        kill();
        return ended;
      });
      process.off('exit', kill);
    },
  };
  const isReady = () =>
    fetch(readinessUrl).then(
      (response) => response.ok,
      () => false,
    );
  const early = ended.then((how) =>
    Promise.reject(new Error(`the server did not start (${how}):\n${readFileSync(logFile, 'utf8')}`)),
  );
  try {
    await Promise.race([eventually('the server to be ready', isReady, 20_000), early]);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

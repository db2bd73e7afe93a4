import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dial, type Endpoint } from './endpoint.ts';
import { eventually } from './wait.ts';

/** Somebody else's proxy, as a process of its own in a folder of its own. */
export interface ProxyProcess {
  /** All it has written so far. */
  output(): string;
  /** Ends it, and removes the folder. */
  close(): Promise<void>;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGTERM');
});

/**
 * Starts it and waits until it listens.
 * @param options.folder where it runs; its configuration is there already
 * @param options.listens where it will listen
 */
export async function startProxyProcess(
  program: string,
  args: readonly string[],
  { folder, listens }: { readonly folder: string; readonly listens: Endpoint },
): Promise<ProxyProcess> {
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const closed = new Promise<void>((resolve) =>
    child.once('close', () => {
      children.delete(child);
      rmSync(folder, { recursive: true, force: true });
      resolve();
    }),
  );
  try {
    await eventually(program, () =>
      dial(listens).then(
        (socket) => socket.destroy(),
        () => undefined,
      ),
    );
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${String(error)}\n${output}`);
  }
  return {
    output: () => output,
    async close() {
      child.kill('SIGTERM');
      await closed;
    },
  };
}

import { write } from 'node:fs';

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;

/** What is needed of Deno's own way to standard error. */
interface DenoStderr {
  write(bytes: Uint8Array): Promise<number>;
}

const STDERR = 2;

/**
 * Writes some of the bytes to a file or pipe off the main thread, like fs.write. On Deno that one waits on the main thread for
 * whoever reads standard error, and so would all connections.
 */
export function fileOutput(fd: number): (bytes: Buffer, done: Done) => void {
  const stderr = (globalThis as { readonly Deno?: { readonly stderr: DenoStderr } }).Deno?.stderr;
  if (fd !== STDERR || stderr === undefined) return (bytes, done) => write(fd, bytes, done);
  return (bytes, done) => {
    stderr.write(bytes).then(
      (written) => done(null, written),
      (error: NodeJS.ErrnoException) => done(error, 0),
    );
  };
}

import { writeSync } from 'node:fs';

/** What a command prints on, and where its exit status comes from. */
export interface Console {
  out(text: string): void;
  error(text: string): void;
}

/** The process's own standard output and standard error. */
export const processConsole: Console = { out: (text) => put(1, text), error: (text) => put(2, text) };

/** How often to try again, without a pause, while a pipe that does not block is full. */
const mostTries = 100_000;

function put(descriptor: number, text: string): void {
  let bytes = Buffer.from(text);
  for (let tries = 0; bytes.length > 0 && tries < mostTries; tries++) {
    try {
      bytes = bytes.subarray(writeSync(descriptor, bytes));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return;
    }
  }
}

/** Tells why the program ends without having done its work. Returns the exit status. */
export function abort(console: Console, reason: string): 1 {
  console.error(`Program aborted: ${reason}\n`);
  return 1;
}

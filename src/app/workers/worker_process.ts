import type { ChildProcess } from 'node:child_process';
import { Link, type LinkMessage } from '../../runtime/link.ts';
import { sendToChild, startOwnProgram } from '../../runtime/own_program.ts';
import { WholeLines } from './whole_lines.ts';

/** A worker, seen from the primary process. */
export interface WorkerProcess {
  readonly number: number;
  readonly pid: number | undefined;
  readonly link: Link;
  /** When it has ended and its last line has been read. Never rejects. */
  readonly ended: Promise<WorkerEnd>;
  signal(name: NodeJS.Signals): void;
}

/** How a process ended: its exit status, the signal's name, or why there was none. */
export type WorkerEnd = number | string;

/** @param output takes whole lines of the log, and what is none */
export function startWorkerProcess(
  number: number,
  output: { line(text: string): void; strange(text: string): void },
): WorkerProcess {
  // The number is for whoever looks at the list of processes.
  const child = startOwnProgram(['worker', String(number)]);
  const link = new Link((message, handle) => sendToChild(child, message, handle));
  child.on('message', (message, handle) => link.receive(message as LinkMessage, handle));
  const lines = new WholeLines(output.line, output.strange);
  child.stderr?.on('data', (chunk: Buffer) => lines.push(chunk)).on('error', () => {});
  return {
    number,
    pid: child.pid,
    link,
    ended: endOf(child).then((end) => {
      lines.end();
      link.break(`worker ${number} has ended`);
      return end;
    }),
    signal: (name) => void child.kill(name),
  };
}

/** Also of a process that could not be started. */
function endOf(child: ChildProcess): Promise<WorkerEnd> {
  return new Promise((resolve) => {
    child.on('error', (error) => {
      if (child.pid === undefined) resolve(error.message);
    });
    // close, not exit: what it wrote last has been read then.
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
}

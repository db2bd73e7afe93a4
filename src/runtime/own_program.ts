import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import type { Link, LinkMessage } from './link.ts';

/** Whether a process can hand a connection over to another one: Deno has no way to. */
export const canHandOverConnections: boolean = process.versions.deno === undefined;

/**
 * Starts this program once more, with other arguments. Its standard error comes through a pipe, its standard output is ours, and
 * messages go through a channel.
 */
export function startOwnProgram(args: readonly string[]): ChildProcess {
  const isExecutable = process.getBuiltinModule?.('node:sea')?.isSea() === true;
  const script = isExecutable ? [] : [...process.execArgv, process.argv[1] ?? ''];
  return spawn(process.execPath, [...script, ...args], {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    serialization: 'advanced',
  });
}

/**
 * Sends over the channel to a child. What cannot be sent any more is dropped: whoever watches the child knows. A socket that goes
 * along stays open here, too.
 */
export function sendToChild(child: ChildProcess, message: LinkMessage, handle?: unknown): void {
  if (child.connected) child.send(message, handle as never, { keepOpen: true }, () => {});
}

/** Whether another process of this program has started this one, and listens. */
export function hasParent(): boolean {
  return process.send !== undefined;
}

/** Sends over the channel to the parent. */
export function sendToParent(message: LinkMessage, handle?: unknown): void {
  if (process.connected) process.send?.(message, handle as never, {}, () => {});
}

/** From now on the link hears what the parent sends. `gone` is called when the parent has ended. */
export function listenToParent(link: Link, gone: () => void): void {
  process.on('message', (message, handle) => link.receive(message as LinkMessage, handle));
  process.on('disconnect', gone);
}

import { chmodSync, chownSync, lstatSync, statSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { errorText } from '../runtime/app_error.ts';
import { listenError } from './address.ts';

/** sockaddr_un.sun_path less its terminating zero: 108 bytes on Linux, 104 on the BSDs and macOS. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/**
 * Makes room for a socket at `path`: a socket that nobody listens on any more is removed.
 * @throws AppError if somebody listens there, something else than a socket is there, or the path is too long.
 */
export async function clearSocketPath(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > MAX_PATH_BYTES) {
    throw listenError(`unix ${path}`, 'bind: invalid argument', {
      hint: `a socket path has at most ${MAX_PATH_BYTES} bytes, this one has ${length}`,
    });
  }
  if (statSync(dirname(path), { throwIfNoEntry: false }) === undefined) {
    throw listenError(`unix ${path}`, 'bind: no such file or directory'); // the runtime calls this a lack of permission
  }
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (entry === undefined) return;
  if (!entry.isSocket()) {
    throw listenError(`unix ${path}`, 'bind: address already in use', {
      hint: 'the file is no socket; it is left alone',
    });
  }
  const answer = await knock(path);
  if (answer === 'ECONNREFUSED') removeSocket(path);
  else if (answer !== 'ENOENT') {
    const hint =
      answer === undefined ? 'another process listens there' : `it could not be asked who listens: ${answer}`;
    throw listenError(`unix ${path}`, 'bind: address already in use', { hint });
  }
}

/**
 * Lets a reverse proxy connect to the socket. The folder says who may: the socket gets the folder's group and mode 0660. If
 * this process may not give that group away, the folder alone has to keep strangers out: where it does, the mode is 0666.
 */
export function openSocketToGroup(path: string): void {
  const folder = statSync(dirname(path));
  let mode = 0o660;
  try {
    if (statSync(path).gid !== folder.gid) chownSync(path, process.geteuid?.() ?? -1, folder.gid);
  } catch {
    if ((folder.mode & 0o001) === 0) mode = 0o666;
  }
  chmodSync(path, mode);
}

/** Idempotent: the runtime removes the file of a socket that it closes, though not each of them always. */
export function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw listenError(`unix ${path}`, errorText(error));
  }
}

/** Undefined if somebody answers, otherwise the error's code. */
function knock(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

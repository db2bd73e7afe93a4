import type { Socket } from 'node:net';
import { dial, type Endpoint } from './endpoint.ts';
import { within } from './wait.ts';

/** A connection on which a test writes and reads bytes as they are. */
export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Buffer): void;
  /** Everything received and not yet taken, as soon as it contains `mark`; taken up to its end. */
  readUntil(mark: string, withinMs?: number): Promise<string>;
  /** What comes until the peer ends or cuts the connection. */
  readToEnd(withinMs?: number): Promise<string>;
  readonly closed: Promise<void>;
  close(): void;
  /** Ends with RST: the peer learns at once that nobody reads any more. */
  reset(): void;
}

/** Texts are Latin-1: one character a byte. */
export async function rawConnection(endpoint: Endpoint, alpn?: string[]): Promise<RawConnection> {
  const socket = await dial(endpoint, alpn);
  let received = '';
  let ended = false;
  let wake = () => {};
  const changed = () => {
    wake();
  };
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    changed();
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.once('close', () => {
    ended = true;
    changed();
  });
  const next = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  async function take(done: () => number | undefined): Promise<string> {
    for (;;) {
      const end = done();
      if (end !== undefined) {
        const out = received.slice(0, end);
        received = received.slice(end);
        return out;
      }
      await next();
    }
  }
  return {
    socket,
    closed,
    write: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    readUntil: (mark, ms = 10_000) =>
      within(
        `the bytes ${JSON.stringify(mark)}`,
        ms,
        take(() => {
          const at = received.indexOf(mark);
          if (at >= 0) return at + mark.length;
          if (ended)
            throw new Error(
              `the connection ended before ${JSON.stringify(mark)}; received ${JSON.stringify(received)}`,
            );
          return undefined;
        }),
      ),
    readToEnd: (ms = 10_000) =>
      within(
        'the end of the connection',
        ms,
        take(() => (ended ? received.length : undefined)),
      ),
    close: () => socket.destroy(),
    reset: () => socket.resetAndDestroy(),
  };
}

/** Sends bytes and gives back all that is answered until the peer ends the connection. */
export async function rawExchange(endpoint: Endpoint, bytes: string | Buffer, withinMs?: number): Promise<string> {
  const connection = await rawConnection(endpoint);
  try {
    connection.write(bytes);
    return await connection.readToEnd(withinMs);
  } finally {
    connection.close();
  }
}

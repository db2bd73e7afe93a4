import type { Duplex } from 'node:stream';
import type { Scope } from '../runtime/scope.ts';

/** The first byte of a TLS connection: a handshake record. */
export const TLS_HANDSHAKE = 0x16;

/** What every HTTP/2 connection with prior knowledge begins with (RFC 9113, 3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** How long a connection may leave us guessing; the gate's time may be shorter, and ends that as well. */
const SNIFF_TIMEOUT_MS = 10_000;

/**
 * Reads just enough of a connection to know whether it speaks HTTP/2, or TLS where there should be none, puts it back and says so.
 * Nobody else may have read from it. A connection that ends, or stays silent, before that is closed.
 */
export function sniffProtocol(socket: Duplex, scope: Scope, use: (protocol: 'h2' | 'http/1.1' | 'tls') => void): void {
  const silence = scope.timeout(SNIFF_TIMEOUT_MS, () => socket.destroy());
  let seen: Buffer | undefined;
  const stop = () => {
    silence.stop();
    socket.off('readable', look);
    socket.off('end', giveUp);
    socket.off('close', stop);
  };
  const giveUp = () => {
    stop();
    socket.destroy();
  };
  const look = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return; // the end, which has an event of its own
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE.length);
    const matches = PREFACE.compare(seen, 0, length, 0, length) === 0;
    if (matches && length < PREFACE.length) return;
    stop();
    socket.unshift(seen);
    if (matches) use('h2');
    else use(seen[0] === TLS_HANDSHAKE ? 'tls' : 'http/1.1');
  };
  socket.on('readable', look);
  socket.on('end', giveUp);
  socket.on('close', stop);
}

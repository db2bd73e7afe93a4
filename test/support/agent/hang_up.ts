import type { ClientHttp2Session } from 'node:http2';
import type { Duplex } from 'node:stream';

/**
 * Ends a session, whatever it runs on. Once a stream that is no socket has ended, Node is about to end its other half, too: a
 * session that is destroyed then still sends its GOAWAY, which fails an assertion (ERR_INTERNAL_ASSERTION, Node 26.10) while
 * earlier bytes wait. There the stream is destroyed, and the session goes with it.
 */
export function hangUp(session: ClientHttp2Session, transport: Duplex): void {
  if (transport.readableEnded || transport.destroyed) transport.destroy();
  else session.destroy();
}

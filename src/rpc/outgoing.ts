import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { Http2Response } from '../net/http2_messages.ts';
import type { Scope } from '../runtime/scope.ts';
import { goTrailers } from './grpc_answer.ts';

/** Where an answer goes. Order: start, then write* and end unless it is the end already. */
export interface Outgoing {
  /** Nobody is there to hear. */
  readonly gone: boolean;
  /** @param more false: there is neither a body nor trailers */
  start(status: number, headers: Record<string, string>, more: boolean): void;
  /** Resolves when more may be written. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  end(trailers: Record<string, string> | undefined): void;
}

/** A client that has its answer, but does not end its request, is cut off after this time. */
const LINGER_MS = 1000;
/** As is one that goes on for so long: far above the largest message, so that whoever sends a larger one hears so. */
const LINGER_BYTES = 16 << 20;

/** Sends an answer. Its head leaves with the first message; one without messages is a single head, trailers included. */
export async function send(response: UniversalServerResponse, out: Outgoing): Promise<void> {
  const body = response.body?.[Symbol.asyncIterator]();
  try {
    let chunk = await body?.next();
    if (out.gone) return;
    const headers = Object.fromEntries(response.header ?? []);
    const trailers = () => response.trailer && goTrailers(response.trailer);
    if (chunk === undefined || chunk.done === true) {
      out.start(response.status, { ...headers, ...trailers() }, false);
      return;
    }
    out.start(response.status, headers, true);
    for (; chunk !== undefined && chunk.done !== true; chunk = await body?.next()) {
      if (out.gone) return;
      await out.write(chunk.value);
    }
    if (!out.gone) out.end(trailers());
  } finally {
    await body?.return?.();
  }
}

/** Answers on a stream of HTTP/2. A client that is still sending is told to stop when it has its answer. */
export function http2Outgoing(response: Http2Response): Outgoing {
  return {
    get gone() {
      return response.destroyed;
    },
    start(status, headers, more) {
      response.writeHead(status, headers);
      if (!more) response.end();
    },
    write: (chunk) => (response.write(chunk) ? undefined : writable(response)),
    end(trailers) {
      if (trailers !== undefined) response.addTrailers(trailers);
      response.end();
    },
  };
}

/**
 * Answers a request of HTTP/1.1. The answer ends when the request has been read, or the client has had its time: a connection
 * that is closed with bytes unread is reset, and a client that is still sending never sees why it was refused.
 */
export function http1Outgoing(request: IncomingMessage, response: ServerResponse, scope: Scope): Outgoing {
  const finish = () => {
    whenSent(request, scope, (sent) => {
      if (!response.destroyed) response.end(sent ? undefined : () => request.destroy());
    });
  };
  return {
    get gone() {
      return response.destroyed;
    },
    start(status, headers, more) {
      response.writeHead(status, headers);
      if (!more) finish();
    },
    write: (chunk) => (response.write(chunk) ? undefined : writable(response)),
    end(trailers) {
      if (trailers !== undefined) response.addTrailers(trailers);
      finish();
    },
  };
}

/** Reads what the client still sends, for nothing, and says whether that came to an end. */
function whenSent(request: IncomingMessage, scope: Scope, f: (sent: boolean) => void): void {
  if (request.readableEnded || request.destroyed) {
    f(true);
    return;
  }
  let bytes = 0;
  const count = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES) done(false);
  };
  const ended = () => done(true);
  const late = scope.timeout(LINGER_MS, () => done(false));
  const done = (sent: boolean) => {
    late.stop();
    request.off('data', count).off('end', ended).off('close', ended);
    f(sent);
  };
  request.removeAllListeners('readable'); // of whoever stopped reading in the middle
  request.on('data', count).once('end', ended).once('close', ended).resume();
}

function writable(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.once('drain', done).once('close', done);
  });
}

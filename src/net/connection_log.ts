import type { Duplex } from 'node:stream';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { onConnectionEnd } from './connection_end.ts';
import type { ByteCounts } from './session.ts';

/** A client that has gone without a word: networks and restarts do that, nobody errs. */
const GONE = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ERR_STREAM_PREMATURE_CLOSE']);

/** What is told of one connection before it is closed; that it is, is told by itself. */
export interface WatchedConnection {
  /** The client has broken the protocol. */
  broken(error: Error): void;
  /** It is sent GOAWAY: it has reached its age, or the server leaves. */
  sentAway(): void;
}

/** Tells of the gRPC connections of one listener: that they come, and how they end (docs/protocol/logs.md, connections). */
export class ConnectionLog {
  readonly #log: Log;
  readonly #clock: Clock;

  /** @param log of the lines that `grpc_level` is for */
  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param fields which connection it is */
  watch(transport: Duplex & ByteCounts, fields: Readonly<Record<string, unknown>>): WatchedConnection {
    let error: (Error & { readonly code?: unknown }) | undefined;
    this.#log.info('gRPC connection accepted', fields);
    transport.on('error', (failure) => {
      error ??= failure;
    });
    onConnectionEnd(transport, this.#clock, (figures, byClient) => {
      const told = { ...fields, ...figures };
      if (error === undefined)
        this.#log.info('gRPC connection closed', { ...told, closed_by: byClient ? 'client' : 'us' });
      else if (GONE.has(String(error.code))) {
        this.#log.info('gRPC connection closed', { ...told, closed_by: 'client', error: error.message });
      } else this.#log.warn('gRPC connection broken', { ...told, error: error.message });
    });
    return {
      broken(failure) {
        error ??= failure;
      },
      sentAway: () => this.#log.debug('GOAWAY sent', fields),
    };
  }
}

import type { Duplex } from 'node:stream';
import { errorCodeName } from '../http2/error_code.ts';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { connectFailureText } from './connect_failure.ts';
import { onConnectionEnd } from './connection_end.ts';
import type { ByteCounts } from './session.ts';

/** What is told of one connection: its end by itself. */
export interface OutgoingConnection {
  /** Its handshakes are done. */
  opened(): void;
  /** The server has said GOAWAY. */
  sentAway(code: number, debug: string): void;
  /** It is of no use any more; the first reason counts. */
  lost(reason: unknown): void;
}

/** Tells of the gRPC connections that this server opens, to other nodes and to Gitaly (docs/protocol/logs.md, connections). */
export class OutgoingLog {
  readonly #log: Log;
  readonly #clock: Clock;

  /** @param log of the lines that `grpc_level` is for */
  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param fields whose connection it is */
  watch(transport: Duplex & ByteCounts, fields: Readonly<Record<string, unknown>>): OutgoingConnection {
    const log = this.#log;
    const startedAtMs = this.#clock.monotonicMs();
    const sinceStartMs = () => Math.round(this.#clock.monotonicMs() - startedAtMs);
    let opened = false;
    let reason: unknown;
    const lost = (why: unknown) => {
      reason ??= why;
    };
    transport.on('error', lost);
    onConnectionEnd(transport, this.#clock, (figures, byServer) => {
      const told = { ...fields, ...figures };
      if (reason === undefined)
        log.info('gRPC connection to a server closed', { ...told, closed_by: byServer ? 'server' : 'us' });
      else {
        const what = opened ? 'gRPC connection to a server lost' : 'gRPC connection to a server not made';
        log.warn(what, { ...told, error: connectFailureText(reason) });
      }
    });
    return {
      opened() {
        opened = true;
        log.info('gRPC connection to a server opened', { ...fields, duration_ms: sinceStartMs() });
      },
      sentAway(code, debug) {
        log.info('GOAWAY received', { ...fields, code: errorCodeName(code), ...(debug !== '' && { debug }) });
      },
      lost,
    };
  }
}

import type { SecureContext } from 'node:tls';
import { Connection as Http2Connection } from '../http2/connection.ts';
import type { Headers, Stream } from '../http2/stream.ts';
import type { OutgoingLog } from '../net/outgoing_log.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { addressOf, dial, dialErrorText, type Endpoint, originOf } from './dial.ts';

const PING_INTERVAL_MS = 20_000;
const PONG_MS = 15_000;
/** Longer than any poll period in use: polls of one server share its connection. */
const IDLE_TIMEOUT_MS = 15 * 60_000;
/** A server that refuses connections is not tried again for each of a thousand agents. */
const KNOWN_DOWN_MS = 250;
/** Files of configuration are small, references of a repository are not. */
const STREAM_WINDOW_BYTES = 256 << 10;
const CONNECTION_WINDOW_BYTES = 1 << 20;
const HELD_BYTES = { stranger: 256 << 20, known: 256 << 20 }; // we have chosen whom to ask
const MAX_STREAMS = 1000;
const HEADER_LIST = { bytes: 1 << 20, pairs: 4096 };
const FLOOD = { burst: 10_000, perSecond: 1000 };

/** A Gitaly that could not be reached: nothing was asked. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

export interface ConnectionDeps {
  readonly clock: Clock;
  readonly secureContext: () => SecureContext;
  /** Undefined: nobody is told of connections. */
  readonly outgoing: OutgoingLog | undefined;
}

interface Link {
  readonly http2: Http2Connection;
  readonly opened: Promise<void>;
  isOpen: boolean;
}

/** An HTTP/2 connection to one endpoint, opened when it is needed and again when it was lost, without back-off. */
export class Connection {
  readonly #endpoint: Endpoint;
  readonly #deps: ConnectionDeps;
  readonly #scheme: string;
  readonly #authority: string;
  #link: Link | undefined;
  #down: { readonly untilMs: number; readonly error: UnreachableError } | undefined;
  #lastUsedMs = 0;
  #pingTimer: Timer | undefined;

  constructor(endpoint: Endpoint, deps: ConnectionDeps) {
    this.#endpoint = endpoint;
    this.#deps = deps;
    const { protocol, host } = new URL(originOf(endpoint));
    this.#scheme = protocol.slice(0, -1);
    this.#authority = host;
  }

  /** Whether `open` would wait for nothing. */
  get isOpen(): boolean {
    return this.#link?.isOpen === true;
  }

  /** Opens a stream for a call. */
  request(path: string, headers: Headers): Stream {
    const { http2 } = this.#link ?? this.#connect();
    this.#lastUsedMs = this.#deps.clock.monotonicMs();
    return http2.request({
      ':method': 'POST',
      ':scheme': this.#scheme,
      ':authority': this.#authority,
      ':path': path,
      ...headers,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-accept-encoding': 'gzip',
    });
  }

  /** Resolves once there is a connection. @throws UnreachableError */
  async open(): Promise<void> {
    const now = this.#deps.clock.monotonicMs();
    if (this.#down !== undefined && now < this.#down.untilMs) throw this.#down.error;
    const link = this.#link ?? this.#connect();
    try {
      await link.opened;
      this.#down = undefined;
    } catch (cause) {
      const error = new UnreachableError(
        `last connection error: connection error: desc = "${dialErrorText(this.#endpoint, cause)}"`,
      );
      this.#down = { untilMs: this.#deps.clock.monotonicMs() + KNOWN_DOWN_MS, error };
      throw error;
    }
  }

  close(): void {
    const link = this.#link;
    this.#forget(link?.http2);
    link?.http2.destroy();
  }

  #connect(): Link {
    const { clock, secureContext, outgoing } = this.#deps;
    const socket = dial(this.#endpoint, secureContext, clock);
    const watched = outgoing?.watch(socket, { gitaly_address: addressOf(this.#endpoint) });
    const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
    opened.catch(() => {}); // whoever waits hears of it
    socket.once(this.#endpoint.kind === 'tls' ? 'secureConnect' : 'connect', () => {
      watched?.opened();
      link.isOpen = true;
      resolve();
    });
    const http2 = new Http2Connection(
      socket,
      {
        leaving: (code, debug) => {
          watched?.sentAway(code, debug);
          this.#forget(http2);
        },
        closed: (error) => {
          if (error !== undefined) watched?.lost(error);
          this.#forget(http2);
          reject(error ?? new Error('the connection was closed'));
        },
      },
      {
        role: 'client',
        clock,
        streamWindowBytes: STREAM_WINDOW_BYTES,
        connectionWindowBytes: CONNECTION_WINDOW_BYTES,
        heldBytes: HELD_BYTES,
        maxStreams: MAX_STREAMS,
        headerList: HEADER_LIST,
        flood: FLOOD,
      },
    );
    this.#lastUsedMs = clock.monotonicMs();
    const link: Link = { http2, opened, isOpen: false };
    this.#link = link;
    this.#schedulePing(http2);
    return link;
  }

  #forget(http2: Http2Connection | undefined): void {
    if (http2 === undefined || this.#link?.http2 !== http2) return;
    this.#link = undefined;
    this.#pingTimer?.stop();
  }

  /** A connection that is not used for long is closed; one that does not answer is no longer used. */
  #schedulePing(http2: Http2Connection): void {
    const { clock } = this.#deps;
    this.#pingTimer = clock.startTimer(PING_INTERVAL_MS, () => {
      if (clock.monotonicMs() - this.#lastUsedMs > IDLE_TIMEOUT_MS && http2.openStreams === 0) {
        this.close();
        return;
      }
      const late = clock.startTimer(PONG_MS, () => http2.destroy(new Error('PING timed out')));
      http2.ping(() => late.stop());
      this.#schedulePing(http2);
    });
  }
}

import type { ClientHttp2Stream } from 'node:http2';
import type { SecureContext } from 'node:tls';
import { Http2SessionManager } from '@connectrpc/connect-node';
import type { Clock } from '../runtime/clock.ts';
import { dial, dialErrorText, type Endpoint, originOf } from './dial.ts';

const PING_INTERVAL_MS = 20_000;
/** Longer than any poll period in use: polls of one server share its connection. */
const IDLE_TIMEOUT_MS = 15 * 60_000;
/** A server that refuses connections is not tried again for each of a thousand agents. */
const KNOWN_DOWN_MS = 250;

/** A Gitaly that could not be reached: nothing was asked. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/** An HTTP/2 connection to one endpoint, opened when it is needed and again when it was lost, without back-off. */
export class Connection {
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #sessions: Http2SessionManager;
  #down: { readonly untilMs: number; readonly error: UnreachableError } | undefined;

  constructor(endpoint: Endpoint, deps: { readonly clock: Clock; readonly secureContext: () => SecureContext }) {
    this.#endpoint = endpoint;
    this.#clock = deps.clock;
    const baseUrl = originOf(endpoint);
    this.#sessions = new Http2SessionManager(
      baseUrl,
      { pingIntervalMs: PING_INTERVAL_MS, pingIdleConnection: true, idleConnectionTimeoutMs: IDLE_TIMEOUT_MS },
      { createConnection: () => dial(endpoint, deps.secureContext, deps.clock) },
    );
  }

  /** Opens a stream for a call. The library's own transport costs three times what the call does, so only its sessions serve. */
  request(path: string, headers: Record<string, string>): Promise<ClientHttp2Stream> {
    const grpc = { 'content-type': 'application/grpc', te: 'trailers', 'grpc-accept-encoding': 'gzip' };
    return this.#sessions.request('POST', path, { ...headers, ...grpc }, {});
  }

  /** Resolves once there is a connection. @throws UnreachableError */
  async open(): Promise<void> {
    const now = this.#clock.monotonicMs();
    if (this.#down !== undefined && now < this.#down.untilMs) throw this.#down.error;
    if ((await this.#sessions.connect()) !== 'error') {
      this.#down = undefined;
      return;
    }
    const text = dialErrorText(this.#endpoint, this.#sessions.error());
    const error = new UnreachableError(`last connection error: connection error: desc = "${text}"`);
    this.#down = { untilMs: this.#clock.monotonicMs() + KNOWN_DOWN_MS, error };
    throw error;
  }

  close(): void {
    this.#sessions.abort();
  }
}

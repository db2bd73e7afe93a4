import type { TokenBucket } from '../gitlab/token_bucket.ts';
import { TokensV2 } from './call_headers.ts';
import { Connection, type ConnectionDeps, UnreachableError } from './connection.ts';
import { addressOf, type Endpoint } from './dial.ts';
import type { Endpoints } from './endpoints.ts';

/** The connections to one Gitaly, with the rate that it grants. */
export class Channel {
  readonly limiter: TokenBucket;
  readonly tokens: TokensV2;
  readonly #endpoints: Endpoints;
  readonly #deps: ConnectionDeps;
  readonly #connections = new Map<string, Connection>();
  /** Those of the endpoints that were known last. */
  #current: { readonly endpoints: readonly Endpoint[]; readonly connections: readonly Connection[] } | undefined;
  #next = 0;
  #usedAtMs: number;

  constructor(
    endpoints: Endpoints,
    deps: ConnectionDeps & {
      readonly limiter: TokenBucket;
      /** What this Gitaly and its callers share. */
      readonly secret: string;
    },
  ) {
    this.#endpoints = endpoints;
    this.#deps = deps;
    this.limiter = deps.limiter;
    this.tokens = new TokensV2(deps.secret);
    this.#usedAtMs = deps.clock.monotonicMs();
  }

  /** How long nobody has asked for a connection. */
  get idleMs(): number {
    return this.#deps.clock.monotonicMs() - this.#usedAtMs;
  }

  /** Whether `take` would bring a connection. */
  get isReady(): boolean {
    return this.#ready() !== undefined;
  }

  /** The connection whose turn it is, if it is open: a call then waits for nothing. */
  take(): Connection | undefined {
    const connection = this.#ready();
    if (connection === undefined) return undefined;
    this.#next++;
    this.#usedAtMs = this.#deps.clock.monotonicMs();
    return connection;
  }

  /** An open connection: one endpoint after the other, past those that are down. @throws UnreachableError */
  async connection(): Promise<Connection> {
    this.#usedAtMs = this.#deps.clock.monotonicMs();
    const connections = this.#connectionsTo(await this.#endpoints.list());
    let failure: unknown;
    for (let i = 0; i < connections.length; i++) {
      const connection = connections[this.#next++ % connections.length];
      if (connection === undefined) continue;
      try {
        await connection.open();
        return connection;
      } catch (error) {
        failure = error;
      }
    }
    this.#endpoints.refresh();
    throw failure ?? new UnreachableError('no endpoints');
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  #ready(): Connection | undefined {
    const endpoints = this.#endpoints.known;
    if (endpoints === undefined) return undefined;
    const connections = this.#connectionsTo(endpoints);
    const connection = connections[this.#next % connections.length];
    return connection?.isOpen ? connection : undefined;
  }

  #connectionsTo(endpoints: readonly Endpoint[]): readonly Connection[] {
    if (this.#current?.endpoints !== endpoints) this.#current = { endpoints, connections: this.#update(endpoints) };
    return this.#current.connections;
  }

  /** Closes connections to endpoints that are none any more. */
  #update(endpoints: readonly Endpoint[]): Connection[] {
    const wanted = new Map(endpoints.map((endpoint) => [addressOf(endpoint), endpoint]));
    for (const [key, connection] of this.#connections) {
      if (wanted.has(key)) continue;
      this.#connections.delete(key);
      connection.close();
    }
    return [...wanted].map(([key, endpoint]) => {
      let connection = this.#connections.get(key);
      if (connection === undefined) {
        connection = new Connection(endpoint, this.#deps);
        this.#connections.set(key, connection);
      }
      return connection;
    });
  }
}

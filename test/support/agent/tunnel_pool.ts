import type { Random } from '../../../src/runtime/random.ts';
import type { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { Backoff, TUNNEL_BACKOFF } from './backoff.ts';
import type { Connection } from './connection.ts';
import type { MakeRequestContext } from './make_request.ts';
import type { PoolSettings } from './options.ts';
import type { RpcStatus } from './rpc.ts';
import { CONNECT_PATH, Tunnel } from './tunnel.ts';

export interface PoolDeps {
  readonly scope: Scope;
  readonly connection: Connection;
  /** Headers of every RPC but `:path`. */
  readonly headers: Record<string, string>;
  readonly context: MakeRequestContext;
  readonly random: Random;
  readonly settings: PoolSettings;
  /** How an attempt ended when it was not OK. */
  readonly onFailure: (status: RpcStatus) => void;
}

/** Keeps enough idle tunnels open (docs/protocol/agent.md). */
export class TunnelPool {
  readonly #deps: PoolDeps;
  readonly #headers: Record<string, string>;
  readonly #workers = new Set<Worker>();
  #active = 0;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#headers = { ...deps.headers, ':path': CONNECT_PATH };
    deps.scope.own({ close: () => this.#close() });
    this.#add(deps.settings.minIdle);
  }

  /** Workers without a request, waiting ones included. */
  get idle(): number {
    return this.#workers.size - this.#active;
  }

  get active(): number {
    return this.#active;
  }

  /** Tunnels that kas can use now. */
  get open(): number {
    let open = 0;
    for (const worker of this.#workers) if (worker.tunnel !== undefined && !worker.active) open++;
    return open;
  }

  #add(count: number): void {
    for (let i = 0; i < count; i++) {
      const worker: Worker = {
        backoff: new Backoff(TUNNEL_BACKOFF, this.#deps.scope.clock, this.#deps.random),
        lastActiveMs: this.#deps.scope.clock.monotonicMs(),
        active: false,
        tunnel: undefined,
      };
      this.#workers.add(worker);
      this.#attempt(worker);
    }
  }

  #attempt(worker: Worker): void {
    if (this.#deps.scope.closed) return;
    this.#deps.connection.ready().then(
      (session) => {
        if (this.#deps.scope.closed) return;
        if (session.closed || session.destroyed) {
          this.#retry(worker, true);
          return;
        }
        worker.tunnel = new Tunnel(session, this.#headers, this.#deps.context, {
          active: () => this.#becameActive(worker),
          ended: (status) => this.#ended(worker, status),
        });
      },
      () => {}, // closed
    );
  }

  #becameActive(worker: Worker): void {
    worker.active = true;
    worker.lastActiveMs = this.#deps.scope.clock.monotonicMs();
    this.#active++;
    const { minIdle, maxTotal, scaleUp } = this.#deps.settings;
    if (this.idle < minIdle) this.#add(Math.min(scaleUp, maxTotal - this.#workers.size));
  }

  #ended(worker: Worker, status: RpcStatus): void {
    worker.tunnel = undefined;
    if (worker.active) {
      worker.active = false;
      this.#active--;
    } else if (
      this.idle > this.#deps.settings.minIdle &&
      this.#deps.scope.clock.monotonicMs() - worker.lastActiveMs > this.#deps.settings.maxIdleMs
    ) {
      this.#workers.delete(worker);
      return;
    }
    const { code } = status;
    const clean = code === StatusCode.OK || code === StatusCode.Canceled || code === StatusCode.DeadlineExceeded;
    if (code !== StatusCode.OK && !this.#deps.scope.closed) this.#deps.onFailure(status);
    this.#retry(worker, clean);
  }

  #retry(worker: Worker, atOnce: boolean): void {
    // Not in the same turn: a connection that refuses each stream at once would never let anything else run.
    if (atOnce) setImmediate(() => this.#attempt(worker));
    else this.#deps.scope.timeout(worker.backoff.nextMs(), () => this.#attempt(worker));
  }

  #close(): void {
    for (const worker of this.#workers) worker.tunnel?.cancel();
  }
}

interface Worker {
  readonly backoff: Backoff;
  lastActiveMs: number;
  active: boolean;
  tunnel: Tunnel | undefined;
}

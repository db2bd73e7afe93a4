import type { Duplex } from 'node:stream';
import type { LimitHit } from '../observability/limits.ts';
import type { Timer } from '../runtime/clock.ts';
import type { Scope } from '../runtime/scope.ts';

/** Connections of all listeners together: each takes a file descriptor, and the process has only so many. */
export interface OpenConnections {
  readonly max: number;
  open: number;
}

/** What a listener takes at the most. */
export interface FrontLimits {
  readonly connections: number;
  /** Of those, connections whose client has not even tried to say who he is. */
  readonly newcomers: number;
  /** How long a connection may stay without anybody being known on it; undefined: nobody has to say who he is here. */
  readonly newcomerMs: number | undefined;
  /** Undefined: this listener's connections do not count. */
  readonly shared: OpenConnections | undefined;
  /** Header list, or a head of HTTP/1.1, in bytes. */
  readonly headerBytes: number;
  readonly streamsPerConnection: number;
  readonly hits: Readonly<Record<FrontLimitHit, LimitHit>>;
}

type FrontLimitHit = 'connections' | 'fileDescriptors' | 'newcomers' | 'newcomerTime' | 'headerBytes' | 'streams';

/** Asked when a newcomer's time is up: true if somebody is about to be known, which then may take as long again. */
export type Plea = () => boolean;

interface Newcomer {
  untilMs: number;
  plea: Plea | undefined;
  /** Somebody has shown a credential. */
  shown: boolean;
}

/**
 * Decides who may come in and how long he may stay unknown. To accept a connection costs a stranger nothing, so what is there
 * for everybody (sockets, memory, file descriptors) must not be used up by those who say nothing (docs/security.md).
 */
export class Gate {
  readonly #limits: FrontLimits;
  readonly #scope: Scope;
  #open = 0;
  /** Open connections that have only arrived. */
  #arrived = 0;
  /** Open connections on which somebody has shown a credential. */
  #shown = 0;
  /** In the order in which their time is up: it is the same time for all. */
  readonly #newcomers = new Map<Duplex, Newcomer>();
  #timer: Timer | undefined;

  constructor(limits: FrontLimits, scope: Scope) {
    this.#limits = limits;
    this.#scope = scope;
  }

  /** A connection was accepted. False: it is one too many. True: `enter` and `left` have to follow. */
  arrive(): boolean {
    const { connections, shared, hits } = this.#limits;
    if (this.#open >= connections) {
      hits.connections();
      return false;
    }
    if (shared !== undefined && shared.open >= shared.max) {
      hits.fileDescriptors();
      return false;
    }
    this.#open++;
    this.#arrived++;
    if (shared !== undefined) shared.open++;
    return true;
  }

  /** Somebody has time for the connection: only from now on it can be blamed for saying nothing. False: too many say nothing. */
  enter(): boolean {
    this.#arrived--;
    const { newcomers, hits } = this.#limits;
    if (this.#open - this.#arrived - this.#shown <= newcomers) return true;
    hits.newcomers();
    return false;
  }

  left(): void {
    this.#open--;
    const { shared } = this.#limits;
    if (shared !== undefined) shared.open--;
  }

  /** From now on the connection's time runs. With TLS that is after the handshake, which has a time of its own. */
  watch(connection: Duplex): void {
    if (this.#limits.newcomerMs === undefined) return;
    const newcomer: Newcomer = { untilMs: 0, plea: undefined, shown: false };
    connection.on('close', () => {
      this.#newcomers.delete(connection);
      if (newcomer.shown) this.#shown--;
    });
    this.#start(connection, newcomer);
    this.#schedule();
  }

  /**
   * A credential was shown on the connection, and somebody looks whether it is a good one: the connection no longer counts
   * among those that say nothing.
   */
  show(connection: Duplex, plea: Plea): void {
    const newcomer = this.#newcomers.get(connection);
    if (newcomer === undefined || newcomer.plea !== undefined) return;
    newcomer.plea = plea;
    this.#countShown(newcomer);
  }

  /** Somebody is known on the connection: it may stay. Idempotent, and cheap when it is known already. */
  prove(connection: Duplex): void {
    const newcomer = this.#newcomers.get(connection);
    if (newcomer === undefined) return;
    this.#newcomers.delete(connection);
    newcomer.plea = undefined;
    this.#countShown(newcomer);
  }

  #countShown(newcomer: Newcomer): void {
    if (newcomer.shown) return;
    newcomer.shown = true;
    this.#shown++;
  }

  #start(connection: Duplex, newcomer: Newcomer): void {
    const { newcomerMs = 0 } = this.#limits;
    newcomer.untilMs = this.#scope.clock.monotonicMs() + newcomerMs;
    this.#newcomers.set(connection, newcomer);
  }

  #schedule(): void {
    const first = this.#newcomers.values().next();
    if (first.done === true || this.#timer !== undefined) return;
    const delayMs = Math.max(0, first.value.untilMs - this.#scope.clock.monotonicMs());
    this.#timer = this.#scope.timeout(delayMs, () => this.#look());
  }

  #look(): void {
    const nowMs = this.#scope.clock.monotonicMs();
    const due = [...this.#newcomers].filter(([, { untilMs }]) => untilMs <= nowMs);
    this.#timer = undefined;
    for (const [connection, newcomer] of due) {
      this.#newcomers.delete(connection);
      if (newcomer.plea?.() === true) this.#start(connection, newcomer);
      else {
        this.#limits.hits.newcomerTime();
        connection.destroy();
      }
    }
    this.#schedule();
  }
}

import type { Duplex } from 'node:stream';
import type { Connection } from '../http2/connection.ts';
import { ErrorCode } from '../http2/error_code.ts';
import type { Closeable, Scope } from '../runtime/scope.ts';
import type { ConnectionAge } from './connection_age.ts';
import type { Gate, Plea } from './gate.ts';
import { KEEPALIVE_CHECK_MS, Keepalive, PingPolicy } from './keepalive.ts';
import type { Checked, Rounds } from './rounds.ts';
import type { SessionWindow } from './windows.ts';

/** An HTTP/2 connection as its streams see it. */
export interface Session {
  /** Closed when the connection is gone. */
  readonly scope: Scope;
  /** The peer's IP address; empty when it came through a UNIX socket. */
  readonly remoteAddress: string;
  /**
   * Calls `f` once when the connection has reached its age or the server drains: time to end long polls and idle tunnels with
   * OK. At once if that has happened already. Returns what takes `f` back.
   */
  onAge(f: () => void): () => void;
  /** A stream of this session begins to receive bulk data: the windows are sized by how many do. */
  streamBusy(): void;
  /** It no longer does; every `streamBusy` needs one. */
  streamIdle(): void;
  /** Whether `prove` was called. */
  readonly known: boolean;
  /** A credential was shown, and `plea` says whether it is still being looked at: such a connection may take its time. */
  show(plea: Plea): void;
  /** Somebody is known on the connection, which may stay. Idempotent. */
  prove(): void;
}

/** The bytes that HTTP/2 has read from and written to its transport. */
export interface ByteCounts {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface SessionOptions {
  readonly remoteAddress: string;
  readonly transport: ByteCounts;
  /** Who let the connection in, and which one it was; undefined: it may stay whoever it is. */
  readonly entrance: { readonly gate: Gate; readonly connection: Duplex } | undefined;
  readonly age: ConnectionAge | undefined;
  readonly window: SessionWindow | undefined;
  /** Of KEEPALIVE_CHECK_MS. */
  readonly rounds: Rounds;
  /** Refuse clients that ping too often, as gRPC servers do. */
  readonly limitPings: boolean;
  /** Hears that the peer is sent GOAWAY. */
  readonly onLeave: (() => void) | undefined;
}

/** Steps of a connection's age that are farther away than this get no timer yet: the rounds look sooner. */
const SOON_MS = 2 * KEEPALIVE_CHECK_MS;

/** What a session does to its connection. */
export type SessionLink = Pick<Connection, 'destroyed' | 'ping' | 'close' | 'destroy' | 'fail' | 'trust'>;

/** Keeps one HTTP/2 session alive, honest and mortal. */
export class ManagedSession implements Session, Closeable, Checked {
  readonly scope: Scope;
  readonly remoteAddress: string;
  readonly #link: SessionLink;
  readonly #options: SessionOptions;
  readonly #keepalive: Keepalive;
  readonly #startedMs: number;
  readonly #ageListeners = new Set<() => void>();
  /** The next step of its age, on the monotonic clock, as long as no timer waits for it. */
  #nextAgeMs = Number.POSITIVE_INFINITY;
  #aged = false;
  #leaving = false;
  #known = false;
  readonly #leaveRounds: () => void;
  readonly #pings: PingPolicy | undefined;

  /** @param scope the session's own; closed by this object. */
  constructor(link: SessionLink, scope: Scope, options: SessionOptions) {
    this.scope = scope;
    this.remoteAddress = options.remoteAddress;
    this.#link = link;
    this.#options = options;
    this.#startedMs = scope.clock.monotonicMs();
    this.#keepalive = new Keepalive(this.#startedMs);
    this.#leaveRounds = options.rounds.add(this);
    this.#pings = options.limitPings ? new PingPolicy() : undefined;
    scope.own(this);
    this.#scheduleAge();
  }

  onAge(f: () => void): () => void {
    if (this.#aged) {
      f();
      return () => {};
    }
    this.#ageListeners.add(f);
    return () => this.#ageListeners.delete(f);
  }

  streamBusy(): void {
    this.#options.window?.streamBusy();
  }

  streamIdle(): void {
    this.#options.window?.streamIdle();
  }

  get known(): boolean {
    return this.#known;
  }

  show(plea: Plea): void {
    const { entrance } = this.#options;
    if (!this.#known) entrance?.gate.show(entrance.connection, plea);
  }

  prove(): void {
    if (this.#known) return;
    this.#known = true;
    this.#link.trust();
    const { entrance } = this.#options;
    entrance?.gate.prove(entrance.connection);
  }

  /** The connection has ended. */
  ended(): void {
    this.#leaveRounds();
    this.#options.window?.close();
    this.scope.close();
  }

  /** The client has pinged: not too often? */
  pinged(): void {
    if (this.#pings?.allow(this.scope.clock.monotonicMs(), this.#options.transport.bytesWritten) === false) {
      this.#link.fail(ErrorCode.EnhanceYourCalm, 'too_many_pings');
    }
  }

  /** GOAWAY, and the age is reached: streams that are open go on, there will be no new ones. */
  drain(): void {
    this.#leave('graceful_stop');
    this.#reachAge();
  }

  close(): void {
    this.#link.destroy();
  }

  /**
   * One GOAWAY, with the true last stream id: what a client opens meanwhile was not looked at, and it knows.
   * @param why what gRPC servers say, and their clients log
   */
  #leave(why: 'max_age' | 'graceful_stop'): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#options.onLeave?.();
    this.#link.close(why);
  }

  #reachAge(): void {
    if (this.#aged) return;
    this.#aged = true;
    const listeners = [...this.#ageListeners];
    this.#ageListeners.clear();
    for (const f of listeners) f();
  }

  /** For the rounds. */
  check(nowMs: number): void {
    const { transport, window } = this.#options;
    if (this.#link.destroyed) return;
    const verdict = this.#keepalive.check(nowMs, transport.bytesRead);
    if (verdict === 'dead') this.close();
    else if (verdict === 'ping') this.#link.ping();
    window?.grow();
    if (this.#nextAgeMs <= nowMs + SOON_MS) this.#scheduleAge();
  }

  #scheduleAge(): void {
    const { age } = this.#options;
    if (age === undefined) return;
    const elapsedMs = this.scope.clock.monotonicMs() - this.#startedMs;
    this.#nextAgeMs = Number.POSITIVE_INFINITY;
    const next = [age.goAwayMs, age.ageMs, age.closeMs].find((at) => at > elapsedMs);
    if (next === undefined) return;
    // For half an hour the timers of ten thousand agents, each with a time of its own, would be half a kilobyte each.
    if (next - elapsedMs > SOON_MS) this.#nextAgeMs = this.#startedMs + next;
    else this.scope.timeout(next - elapsedMs, () => this.#growOld(age));
  }

  #growOld(age: ConnectionAge): void {
    const elapsedMs = this.scope.clock.monotonicMs() - this.#startedMs;
    if (elapsedMs >= age.closeMs) this.close();
    else {
      if (elapsedMs >= age.goAwayMs) this.#leave('max_age');
      if (elapsedMs >= age.ageMs) this.#reachAge();
      this.#scheduleAge();
    }
  }
}

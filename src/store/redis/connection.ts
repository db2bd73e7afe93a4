import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import { Backoff } from '../../runtime/backoff.ts';
import type { Random } from '../../runtime/random.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { RedisLink } from './link.ts';
import { RedisError } from './redis_error.ts';
import { RefusedWrites } from './refused_writes.ts';
import { asArray, type Command, type Reply } from './reply.ts';

/** Short, because state is to be back within seconds; long enough for a Redis that all nodes dial at once. */
const BACKOFF = { initMs: 100, maxMs: 2000, resetMs: 10_000, factor: 2, jitter: 0.5 };
/** A server that has vanished without a word is noticed within this and the time for an answer. */
const PING_EVERY_MS = 2000;
/** While the reason stays the same the log repeats it this often. */
const REPEAT_LOG_MS = 60_000;
/** Answers after which this connection is of no more use. */
const STATE_ERRORS = /^(READONLY|LOADING|MASTERDOWN|NOAUTH)\b/;

const LOST_HINT =
  'see whether Redis is up and section redis of the configuration says how to reach it; this server goes on looking for it';

export interface ConnectionDeps {
  readonly dial: (scope: Scope) => Promise<RedisLink>;
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
  /** What the log says when there is no connection. */
  readonly lostMessage: string;
  /** Prepares a new connection; part of dialling, so what it throws counts as a failed attempt. */
  readonly prepare?: (link: RedisLink) => Promise<void>;
  /** There is a connection, and Redis may have forgotten everything. */
  readonly onUp?: () => void;
  /** Hears why Redis is of no use, or of none for what is to be stored; with undefined when it is. Absent: nothing is written. */
  readonly onTrouble?: (error: RedisError | undefined) => void;
  /** Anything that failed, be it an attempt to connect or a command. */
  readonly onError?: () => void;
}

/** A connection that comes back by itself. While there is none, commands fail at once: nobody waits for a Redis that is away. */
export class RedisConnection {
  readonly #deps: ConnectionDeps;
  #link: RedisLink | undefined;
  #trouble: RedisError | undefined = new RedisError('not connected yet');
  #logged: { readonly text: string; readonly atMs: number } | undefined;
  #downSinceMs: number | undefined;
  /** Undefined where nothing is written. */
  readonly #writes: RefusedWrites | undefined;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    const onRefusal = (refusal: RedisError | undefined) => {
      if (refusal !== undefined) this.#troubled(refusal, 'Redis stores nothing, going on without it');
      else if (this.#link !== undefined) this.#well();
    };
    this.#writes = deps.onTrouble && new RefusedWrites(deps.scope, onRefusal);
    void this.#keepUp();
  }

  get isUp(): boolean {
    return this.#link !== undefined;
  }

  /** For how long nothing was answered. */
  get silentMs(): number {
    return this.#link?.silentMs ?? Number.POSITIVE_INFINITY;
  }

  /** Rejects with RedisError. Commands of one turn share a write, in their order. */
  send(command: Command): Promise<Reply> {
    if (this.#link === undefined) return Promise.reject(this.#trouble);
    return this.#ask(this.#link, command);
  }

  /**
   * The commands in one write, and with nobody else's between them. Rejects with RedisError if they were not done; a command
   * that was refused alone has an Error for its reply.
   */
  async transaction(commands: readonly Command[]): Promise<Reply[]> {
    const link = this.#link;
    if (link === undefined) throw this.#trouble;
    const replies = asArray(await link.transaction(commands).catch((error: unknown) => this.#refused(link, error)));
    for (const command of commands) this.#writes?.accepted(command);
    for (const reply of replies) if (reply instanceof Error) this.#deps.onError?.();
    return replies;
  }

  #ask(link: RedisLink, command: Command): Promise<Reply> {
    return link.send(command).then(
      (reply) => {
        this.#writes?.accepted(command);
        return reply;
      },
      (error: unknown) => this.#refused(link, error),
    );
  }

  #refused(link: RedisLink, error: unknown): never {
    this.#deps.onError?.();
    this.#writes?.refused(error as RedisError);
    // The server will not change its mind on this connection: a failover has made a replica of it, for instance.
    if (STATE_ERRORS.test(errorText(error))) link.close(error as RedisError);
    throw error;
  }

  async #keepUp(): Promise<void> {
    const { scope, random } = this.#deps;
    const backoff = new Backoff(BACKOFF, { clock: scope.clock, random });
    while (!scope.closed) {
      const linkScope = scope.child();
      try {
        const link = await this.#deps.dial(linkScope);
        linkScope.own({ close: () => link.close(new RedisError('this server is shutting down')) });
        await this.#prepare(link);
        this.#up(link);
        this.#pingIn(link, linkScope);
        this.#down(await link.ended);
      } catch (error) {
        this.#down(error instanceof RedisError ? error : new RedisError(errorText(error), { cause: error }));
      } finally {
        linkScope.close();
      }
      await scope.sleep(backoff.nextMs());
    }
  }

  async #prepare(link: RedisLink): Promise<void> {
    try {
      await this.#deps.prepare?.(link);
    } catch (error) {
      link.close(error as RedisError);
      throw error;
    }
  }

  #up(link: RedisLink): void {
    this.#link = link;
    this.#trouble = undefined;
    // Whoever has refused to store anything may do so again: what he is told now shows it.
    if (this.#writes?.refusal === undefined) this.#well();
    this.#deps.onUp?.();
  }

  #down(error: RedisError): void {
    this.#link = undefined;
    this.#trouble = error;
    this.#deps.onError?.();
    if (!this.#deps.scope.closed && error !== this.#writes?.refusal) this.#troubled(error, this.#deps.lostMessage);
  }

  #well(): void {
    const { scope, log } = this.#deps;
    this.#logged = undefined;
    if (this.#downSinceMs !== undefined) {
      const seconds = (scope.clock.monotonicMs() - this.#downSinceMs) / 1000;
      log.info('Redis is back', { after_seconds: Math.round(seconds * 10) / 10 });
      this.#downSinceMs = undefined;
    }
    this.#deps.onTrouble?.(undefined);
  }

  #troubled(error: RedisError, message: string): void {
    const { scope, log } = this.#deps;
    const nowMs = scope.clock.monotonicMs();
    this.#downSinceMs ??= nowMs;
    if (this.#logged?.text !== error.message || nowMs - this.#logged.atMs >= REPEAT_LOG_MS) {
      this.#logged = { text: error.message, atMs: nowMs };
      log.error(message, { error: error.message, hint: RefusedWrites.hint(error) ?? error.hint ?? LOST_HINT });
      this.#deps.onTrouble?.(error);
    }
  }

  #pingIn(link: RedisLink, scope: Scope): void {
    scope.timeout(PING_EVERY_MS, () => {
      this.#ask(link, ['PING']).then(
        () => this.#pingIn(link, scope),
        // A Redis that cannot save to its disk refuses PING, too, and is there all the same.
        () => this.#pingIn(link, scope),
      );
    });
  }
}

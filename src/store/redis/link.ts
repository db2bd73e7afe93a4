import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import { createClient, RESP_TYPES } from '@redis/client';
import { errorText } from '../../runtime/app_error.ts';
import type { Timer } from '../../runtime/clock.ts';
import type { Scope } from '../../runtime/scope.ts';
import { RedisError } from './redis_error.ts';
import type { Command, Reply } from './reply.ts';

/** Where a Redis, or a sentinel, listens. */
export type RedisAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface LinkOptions {
  readonly address: RedisAddress;
  readonly tls: SecureContext | undefined;
  readonly dialTimeoutMs: number;
  /** A command that has no answer after that long ends the connection: nothing that comes later would be trusted. */
  readonly answerTimeoutMs: number;
  readonly scope: Scope;
}

const MULTI: Command = ['MULTI'];
const EXEC: Command = ['EXEC'];

/** What is needed of the library's client. RESP2: every Redis speaks it, and nothing here needs more. */
interface Client {
  connect(): Promise<unknown>;
  sendCommand(command: Command): Promise<Reply>;
  subscribe(channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<void>;
  on(event: 'error' | 'end' | 'terminated', listener: (error?: unknown) => void): unknown;
  destroy(): void;
}

/**
 * One connection to one server, until it breaks: whoever wants another dials again. So a broken connection fails all that
 * waits on it at once, and nothing queues up for a server that is not there.
 */
export class RedisLink {
  readonly #client: Client;
  readonly #scope: Scope;
  readonly #answerTimeoutMs: number;
  readonly #ended: Promise<RedisError>;
  #end: (error: RedisError) => void = () => {};
  #reason: RedisError | undefined;
  #waiting = 0;
  #progressAtMs = 0;
  #watch: Timer | undefined;
  readonly #onReply = (reply: Reply): Reply => {
    this.#settle();
    return reply;
  };
  readonly #onRefusal = (error: unknown): never => {
    this.#settle();
    throw this.#reason ?? refusal(error);
  };

  private constructor(client: Client, options: LinkOptions) {
    this.#client = client;
    this.#scope = options.scope;
    this.#answerTimeoutMs = options.answerTimeoutMs;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    client.on('error', (error) => this.close(new RedisError(errorText(error), { cause: error })));
    client.on('terminated', (error) => this.close(new RedisError(errorText(error), { cause: error })));
  }

  /** @throws RedisError that says why there is no connection */
  static async dial(options: LinkOptions): Promise<RedisLink> {
    const link = new RedisLink(newClient(options), options);
    const { dialTimeoutMs, scope } = options;
    const timer = scope.timeout(dialTimeoutMs, () =>
      link.close(new RedisError(`no connection within ${dialTimeoutMs} ms`)),
    );
    try {
      const failed = link.#ended.then((error) => Promise.reject(error));
      await Promise.race([link.#client.connect(), failed]);
      return link;
    } catch (error) {
      link.close(error instanceof RedisError ? error : new RedisError(errorText(error), { cause: error }));
      throw link.#reason ?? error;
    } finally {
      timer.stop();
    }
  }

  /** Resolves when the connection has ended, with the reason. */
  get ended(): Promise<RedisError> {
    return this.#ended;
  }

  /** Rejects with RedisError: the server's answer, or that the connection has ended. Commands of one turn share a write. */
  send(command: Command): Promise<Reply> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason);
    this.#startWatch();
    return this.#client.sendCommand(command).then(this.#onReply, this.#onRefusal);
  }

  /**
   * The commands in one write, and with nobody else's between them; their replies. Rejects with RedisError if they were not done. Only
   * the last answer is waited for: those before it say no more than that a command will be done.
   */
  transaction(commands: readonly Command[]): Promise<Reply> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason);
    this.#startWatch();
    const client = this.#client;
    let refused: unknown;
    const note = (error: unknown) => {
      refused ??= error;
    };
    client.sendCommand(MULTI).catch(note);
    for (const command of commands) client.sendCommand(command).catch(note);
    return client.sendCommand(EXEC).then(
      (replies) => (refused === undefined ? this.#onReply(replies) : this.#onRefusal(refused)),
      (error) => this.#onRefusal(refused ?? error),
    );
  }

  /** After this the connection is for messages and PING only. */
  async subscribe(channel: string, hear: (message: Buffer) => void): Promise<void> {
    if (this.#reason !== undefined) throw this.#reason;
    this.#startWatch();
    try {
      await this.#client.subscribe(channel, hear, true);
    } catch (error) {
      throw this.#reason ?? refusal(error);
    } finally {
      this.#settle();
    }
  }

  /** Idempotent; the first reason counts. */
  close(reason: RedisError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#stopWatch();
    this.#client.destroy();
    this.#end(reason);
  }

  /** One timer for the connection, not one for each command: it fires only if nothing was answered all the while. */
  #startWatch(): void {
    if (this.#waiting++ === 0) {
      this.#progressAtMs = this.#scope.clock.monotonicMs();
      this.#watchFor(this.#answerTimeoutMs);
    }
  }

  #settle(): void {
    this.#progressAtMs = this.#scope.clock.monotonicMs();
    if (--this.#waiting === 0) this.#stopWatch();
  }

  #watchFor(ms: number): void {
    this.#watch = this.#scope.timeout(ms, () => {
      this.#watch = undefined;
      if (this.silentMs < this.#answerTimeoutMs) this.#watchFor(this.#answerTimeoutMs - this.silentMs);
      // If this process had no time, the answer may have come long ago: first it is read.
      else setImmediate(() => this.#giveUp());
    });
  }

  /** For how long it has answered nothing, though it was asked. */
  get silentMs(): number {
    return this.#waiting === 0 ? 0 : this.#scope.clock.monotonicMs() - this.#progressAtMs;
  }

  #giveUp(): void {
    if (this.#waiting === 0 || this.#watch !== undefined) return;
    if (this.silentMs < this.#answerTimeoutMs) this.#watchFor(this.#answerTimeoutMs - this.silentMs);
    else this.close(new RedisError(`no answer within ${this.#answerTimeoutMs} ms`));
  }

  #stopWatch(): void {
    this.#watch?.stop();
    this.#watch = undefined;
  }
}

/** What the server has answered. It quotes commands that it does not know, and AUTH, where it goes by another name, is one of them. */
function refusal(error: unknown): RedisError {
  const text = errorText(error).replace(/, with args beginning with: .*$/s, '');
  return new RedisError(text, { answered: true });
}

function newClient({ address, tls, dialTimeoutMs }: LinkOptions): Client {
  const socket = { ...address, connectTimeout: dialTimeoutMs, reconnectStrategy: false as const };
  return createClient({
    RESP: 2,
    socket:
      tls === undefined || 'path' in address
        ? { ...socket, ...(tls && { tls: true as const, secureContext: tls }) }
        : { ...socket, tls: true, secureContext: tls, ...(isIP(address.host) === 0 && { servername: address.host }) },
    // The handshake is ours (dialer.ts): passwords are bytes, and not every user may do everything the library asks.
    disableClientInfo: true,
    maintNotifications: 'disabled',
    disableOfflineQueue: true,
    commandOptions: { timeout: undefined, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  } as never) as unknown as Client;
}

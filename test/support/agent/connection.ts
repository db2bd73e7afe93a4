import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { errorText } from '../../../src/runtime/app_error.ts';
import type { Scope } from '../../../src/runtime/scope.ts';
import type { Backoff } from './backoff.ts';
import type { KasTarget } from './dial.ts';
import { hangUp } from './hang_up.ts';

const KEEPALIVE_MS = 55_000;
const PING_TIMEOUT_MS = 20_000;
const CONNECT_TIMEOUT_MS = 20_000;
/** With the defaults, 64 KiB, an upload is capped at 64 KiB per round trip. */
const STREAM_WINDOW = 4 << 20;
const SESSION_WINDOW = 16 << 20;

/** The agent's one channel to kas: always connected or about to be; RPCs wait until it is. */
export class Connection {
  readonly #target: KasTarget;
  readonly #scope: Scope;
  readonly #backoff: Backoff;
  readonly #log: (line: string) => void;
  readonly #sessions = new Map<http2.ClientHttp2Session, Duplex>();
  #current: http2.ClientHttp2Session | undefined;
  #waiting: { resolve(session: http2.ClientHttp2Session): void; reject(error: Error): void }[] = [];

  constructor(target: KasTarget, scope: Scope, backoff: Backoff, log: (line: string) => void) {
    this.#target = target;
    this.#scope = scope;
    this.#backoff = backoff;
    this.#log = log;
    scope.own({ close: () => this.#close() });
    this.#dial();
  }

  get connected(): boolean {
    return this.#current !== undefined;
  }

  /** The live session, at once if there is one. Rejects when the agent is closed. */
  ready(): Promise<http2.ClientHttp2Session> {
    if (this.#current !== undefined) return Promise.resolve(this.#current);
    if (this.#scope.closed) return Promise.reject(new Error('agent is closed'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Cuts the transport, as a broken network would. The agent connects again. */
  cut(): void {
    const transport = this.#current && this.#sessions.get(this.#current);
    if (this.#current !== undefined && transport !== undefined) hangUp(this.#current, transport);
  }

  #dial(): void {
    if (this.#scope.closed) return;
    const scope = this.#scope.child();
    const transport = this.#target.dial();
    const session = http2.connect('http://kas', {
      createConnection: () => transport,
      settings: { initialWindowSize: STREAM_WINDOW, enablePush: false },
      maxSessionMemory: 256,
    });
    this.#sessions.set(session, transport);
    let wasReady = false;
    let failure = 'connection closed';
    const connectTimer = scope.timeout(CONNECT_TIMEOUT_MS, () => hangUp(session, transport));
    transport.on('error', (error) => {
      failure = errorText(error);
    });
    session.on('error', (error) => {
      failure = errorText(error);
    });
    session.on('connect', () => session.setLocalWindowSize(SESSION_WINDOW));
    session.once('remoteSettings', () => {
      connectTimer.stop();
      wasReady = true;
      this.#backoff.reset();
      this.#becomeReady(session, scope);
    });
    // Node stops taking new streams on this session by itself; those in flight finish.
    session.on('goaway', (code, _lastStream, debug) => {
      this.#log(
        `GOAWAY ${code} ${debug === undefined ? '' : Buffer.from(debug.buffer, debug.byteOffset, debug.byteLength).toString('latin1')}`,
      );
      if (this.#current !== session) return;
      this.#current = undefined;
      this.#dial();
    });
    session.once('close', () => {
      this.#sessions.delete(session);
      transport.destroy();
      scope.close();
      const wasCurrent = this.#current === session;
      if (wasCurrent) this.#current = undefined;
      if (this.#scope.closed) return;
      this.#log(`connection to kas ended: ${failure}`);
      if (wasCurrent) this.#dial();
      else if (!wasReady) this.#scope.timeout(this.#backoff.nextMs(), () => this.#dial());
    });
  }

  #becomeReady(session: http2.ClientHttp2Session, scope: Scope): void {
    this.#current = session;
    this.#keepAlive(session, scope);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve(session);
  }

  #keepAlive(session: http2.ClientHttp2Session, scope: Scope): void {
    scope.timeout(KEEPALIVE_MS, () => {
      if (session.destroyed) return;
      const timer = scope.timeout(PING_TIMEOUT_MS, () => session.destroy(new Error('keepalive ping was not answered')));
      session.ping(() => timer.stop());
      this.#keepAlive(session, scope);
    });
  }

  #close(): void {
    for (const [session, transport] of this.#sessions) hangUp(session, transport);
    for (const { reject } of this.#waiting) reject(new Error('agent is closed'));
    this.#waiting = [];
  }
}

import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Timer } from '../../runtime/clock.ts';
import { type DialOptions, dial, proxyAuthorization } from '../dial.ts';
import { ShownCertificates } from '../shown_certificates.ts';
import { Slots } from '../slots.ts';
import type { HttpRequest, HttpResponse, Transport } from '../transport.ts';
import { isCertificateError, transportError } from '../transport_error.ts';
import { IDLE_MS, MAX_CONNECTIONS, RESPONSE_HEADER_TIMEOUT_MS } from '../transport_limits.ts';
import { maskedUrl } from '../url.ts';
import { Connection } from './connection.ts';
import { requestBytes } from './request_bytes.ts';

/** For so long before GitLab closes a connection, as it has said, nothing is sent on it any more. */
const IDLE_MARGIN_MS = 1000;

/** A connection, and what ends it when nobody uses it. */
interface Kept {
  readonly connection: Connection;
  idleMs: number;
  idle: Timer | undefined;
}

/**
 * Speaks HTTP/1.1 with the one origin of `options`, over connections that are kept, for GET and POST with bodies in memory. A thousand agents
 * that come at once are two thousand such calls, and each costs the runtime's own client several times as much (docs/performance.md).
 */
export class Http1Transport implements Transport {
  readonly #options: DialOptions;
  readonly #shown: ShownCertificates;
  readonly #slots = new Slots(MAX_CONNECTIONS);
  readonly #all = new Set<Kept>();
  /** Those that nobody uses; the one used last is the next to be used, so that the others grow old. */
  readonly #free: Kept[] = [];
  /** What stands in front of the path if the request goes to a proxy, and the lines that are for it. */
  readonly #prefix: string;
  readonly #lines: readonly string[];
  #isClosed = false;

  constructor(options: DialOptions) {
    const { origin, proxy } = options;
    const viaProxy = proxy !== undefined && origin.protocol === 'http:';
    this.#options = options;
    this.#shown = new ShownCertificates(options);
    this.#prefix = viaProxy ? origin.origin : '';
    this.#lines = [`Host: ${origin.host}`, ...(viaProxy ? proxyAuthorization(proxy) : [])];
  }

  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    const bytes = requestBytes(request, this.#prefix, this.#lines);
    for (;;) {
      await this.#slots.take(signal);
      const used = this.#takeFree();
      let lost = false;
      try {
        const kept = used ?? (await this.#open(signal));
        return await this.#exchange(kept, bytes, signal, () => {
          lost = true;
        });
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        // GitLab may close a kept connection at the very moment when it is used again; nothing is lost by asking anew.
        if (lost && used !== undefined && request.method === 'GET') continue;
        const what = `${request.method} ${maskedUrl(this.#options.origin, request.target)}`;
        throw transportError(what, error, isCertificateError(error) ? await this.#shown.text() : '');
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { connection } of this.#all) connection.destroy();
  }

  #takeFree(): Kept | undefined {
    const kept = this.#free.pop();
    kept?.idle?.stop();
    return kept;
  }

  /** Gives the slot back if there is no connection. One that comes after its caller has left is kept for others. */
  #open(signal: AbortSignal): Promise<Kept> {
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      dial(this.#options).then(
        (socket) => {
          signal.removeEventListener('abort', abort);
          const kept = this.#keep(socket);
          if (this.#isClosed) reject(new Error('the client was closed'));
          if (this.#isClosed || signal.aborted) this.#giveBack(kept, true);
          else resolve(kept);
        },
        (error) => {
          signal.removeEventListener('abort', abort);
          this.#slots.release();
          reject(error);
        },
      );
    });
  }

  #keep(socket: Socket): Kept {
    const connection = new Connection(socket, () => {
      kept.idle?.stop();
      this.#all.delete(kept);
      const at = this.#free.indexOf(kept);
      if (at >= 0) this.#free.splice(at, 1);
    });
    const kept: Kept = { connection, idleMs: IDLE_MS, idle: undefined };
    this.#all.add(kept);
    return kept;
  }

  /** Gives the slot back when the exchange is over. @param onLost the connection ended before anything of an answer came */
  #exchange(kept: Kept, request: Buffer | string, signal: AbortSignal, onLost: () => void): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const { connection } = kept;
      const late = () => connection.destroy(new Error('timeout awaiting response headers'));
      const patience = this.#options.clock.startTimer(RESPONSE_HEADER_TIMEOUT_MS, late);
      const abort = () => connection.destroy(new Error('aborted'));
      signal.addEventListener('abort', abort, { once: true });
      connection.ask(request, {
        answered(answer) {
          patience.stop();
          kept.idleMs = idleMs(answer.headers);
          resolve(answer);
        },
        failed(error, untouched) {
          if (untouched) onLost();
          reject(error);
        },
        over: (reusable) => {
          patience.stop();
          signal.removeEventListener('abort', abort);
          this.#giveBack(kept, reusable);
        },
      });
    });
  }

  #giveBack(kept: Kept, reusable: boolean): void {
    if (reusable && kept.idleMs > 0 && !this.#isClosed) {
      kept.idle = this.#options.clock.startTimer(kept.idleMs, () => kept.connection.destroy());
      this.#free.push(kept);
    } else {
      kept.connection.destroy();
    }
    this.#slots.release();
  }
}

/** For how long a connection is kept that nobody uses: GitLab may say that it does so for less. */
function idleMs(headers: IncomingHttpHeaders): number {
  const seconds = /(?:^|[ ,])timeout=(\d+)/.exec(String(headers['keep-alive'] ?? ''))?.[1];
  return seconds === undefined ? IDLE_MS : Math.min(IDLE_MS, Number(seconds) * 1000 - IDLE_MARGIN_MS);
}

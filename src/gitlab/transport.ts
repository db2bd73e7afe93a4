import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Clock, Timer } from '../runtime/clock.ts';
import { type DialOptions, dial, proxyAuthorization } from './dial.ts';
import { ShownCertificates } from './shown_certificates.ts';
import { Slots } from './slots.ts';
import { isCertificateError, transportError } from './transport_error.ts';
import { IDLE_MS, MAX_CONNECTIONS, MAX_HEAD_BYTES, RESPONSE_HEADER_TIMEOUT_MS } from './transport_limits.ts';
import { maskedUrl } from './url.ts';

export interface HttpRequest {
  readonly method: string;
  /** Path and query as they go onto the wire. */
  readonly target: string;
  /** In the order in which they are sent. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** A stream is read once, and destroyed if the exchange ends before it does. */
  readonly body: Buffer | Readable | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Whole, or a stream that must be read to its end, or destroyed. */
  readonly body: Buffer | Readable;
}

/** A response that is not read whole. */
export interface StreamedResponse extends HttpResponse {
  readonly body: Readable;
}

/** One HTTP exchange with GitLab: no retries, no redirects, no meaning. */
export interface Transport {
  /** Rejects with TransportError, or with the signal's reason; the signal also cuts the response's body off. */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse>;
  close(): void;
}

/** Speaks HTTP/1.1 with the one origin of `options`, over connections that are kept, for bodies of any length and kind. */
export class HttpTransport implements Transport {
  readonly #options: DialOptions;
  readonly #agent: Agent;
  readonly #shown: ShownCertificates;
  /** node's agent counts a connection when it is open; a burst of calls would make it open one for each. */
  readonly #slots = new Slots(MAX_CONNECTIONS);

  constructor(options: DialOptions) {
    this.#options = options;
    this.#agent = new DialingAgent(options);
    this.#shown = new ShownCertificates(options);
  }

  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    for (;;) {
      await this.#slots.take(signal);
      const attempt = this.#exchange(request, signal);
      try {
        return await attempt.response;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        // GitLab may close a kept connection at the very moment when it is used again; nothing is lost by asking anew.
        if (attempt.lostKeptConnection() && request.method === 'GET') continue;
        const what = `${request.method} ${maskedUrl(this.#options.origin, request.target)}`;
        throw transportError(what, error, isCertificateError(error) ? await this.#shown.text() : '');
      }
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Gives the slot back when the exchange is over. */
  #exchange(request: HttpRequest, signal: AbortSignal) {
    const sent = this.#startOrRelease(request);
    let answer: IncomingMessage | undefined;
    let lost = false;
    const response = new Promise<HttpResponse>((resolve, reject) => {
      const giveUp = (error: Error) => {
        sent.destroy(error);
        // Deno 2.9 tells nobody of the end of a request that went over a kept connection.
        answer?.destroy(error);
        reject(error);
        end();
      };
      const abort = () => giveUp(new Error('aborted'));
      const patience = startPatience(sent, this.#options.clock, giveUp);
      let isOver = false;
      const end = () => {
        if (isOver) return;
        isOver = true;
        this.#slots.release();
        patience.stop();
        signal.removeEventListener('abort', abort);
        if (request.body !== undefined && !Buffer.isBuffer(request.body)) request.body.destroy();
      };
      signal.addEventListener('abort', abort, { once: true });
      sent.once('response', (incoming) => {
        answer = incoming;
        patience.stop();
        resolve(responseOf(incoming));
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        lost = answer === undefined && sent.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(error);
      });
      sent.once('close', () => {
        end();
        reject(new Error('the connection was closed before the answer'));
      });
      sendBody(sent, request.body);
    });
    return { response, lostKeptConnection: () => lost };
  }

  /** node throws at once if method, target or headers cannot be sent. */
  #startOrRelease(request: HttpRequest): ClientRequest {
    try {
      return this.#start(request);
    } catch (error) {
      this.#slots.release();
      throw error;
    }
  }

  #start({ method, target, headers }: HttpRequest): ClientRequest {
    const { origin, proxy } = this.#options;
    const viaProxy = proxy !== undefined && origin.protocol === 'http:';
    const [authorization] = viaProxy ? proxyAuthorization(proxy) : [];
    return httpRequest({
      agent: this.#agent,
      maxHeaderSize: MAX_HEAD_BYTES,
      host: origin.hostname,
      method,
      path: viaProxy ? `${origin.origin}${target}` : target,
      headers: {
        Host: origin.host,
        ...headers,
        ...(authorization !== undefined && {
          'Proxy-Authorization': authorization.slice(authorization.indexOf(' ') + 1),
        }),
      },
    });
  }
}

/** Ends the request if GitLab, having got it whole, does not begin to answer. */
function startPatience(sent: ClientRequest, clock: Clock, giveUp: (error: Error) => void): { stop(): void } {
  let timer: Timer | undefined;
  const begin = () => {
    timer = clock.startTimer(RESPONSE_HEADER_TIMEOUT_MS, () => {
      giveUp(new Error('timeout awaiting response headers'));
    });
  };
  sent.once('finish', begin);
  return {
    stop() {
      sent.off('finish', begin);
      timer?.stop();
    },
  };
}

function sendBody(sent: ClientRequest, body: Buffer | Readable | undefined): void {
  if (body === undefined || Buffer.isBuffer(body)) {
    sent.end(body);
    return;
  }
  body.on('error', (error) => sent.destroy(error));
  body.pipe(sent);
}

function responseOf(incoming: IncomingMessage): HttpResponse {
  // Readers hear of errors through the stream's own means; without a listener one that nobody reads would end the process.
  incoming.on('error', () => {});
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: incoming };
}

/** Keeps connections like node's own agent; opens them through `dial`. */
class DialingAgent extends Agent {
  readonly #options: DialOptions;

  constructor(options: DialOptions) {
    super({ keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: MAX_CONNECTIONS, timeout: IDLE_MS });
    this.#options = options;
  }

  override createConnection(_options: unknown, done?: (error: Error | null, socket: Duplex) => void): undefined {
    dial(this.#options).then(
      (socket) => done?.(null, socket),
      // node ignores the second argument when there is an error, but its type wants one.
      (error: Error) => done?.(error, undefined as unknown as Duplex),
    );
  }
}

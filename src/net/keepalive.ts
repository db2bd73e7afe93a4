export interface Patience {
  /** Nothing was read for so long: ask the peer whether it is there. No less than 20 s: gRPC servers send away who asks more often. */
  readonly silenceMs: number;
  /** It has so long to answer. */
  readonly answerMs: number;
}

const USUAL: Patience = { silenceMs: 50_000, answerMs: 20_000 };
/** The silence is noticed with this delay at most. */
export const KEEPALIVE_CHECK_MS = 5000;

/** Decides when to ping a peer and when to give it up, from how much was read so far. Looked at every KEEPALIVE_CHECK_MS. */
export class Keepalive {
  #bytesRead = 0;
  #lastReadMs: number;
  #pingedMs: number | undefined;
  readonly #patience: Patience;

  constructor(nowMs: number, patience = USUAL) {
    this.#lastReadMs = nowMs;
    this.#patience = patience;
  }

  /** @param bytesRead of the connection since it was opened. */
  check(nowMs: number, bytesRead: number): 'ok' | 'ping' | 'dead' {
    if (bytesRead !== this.#bytesRead) {
      // Anything that arrives is a sign of life, not only the answer to the ping.
      this.#bytesRead = bytesRead;
      this.#lastReadMs = nowMs;
      this.#pingedMs = undefined;
      return 'ok';
    }
    const { silenceMs, answerMs } = this.#patience;
    if (this.#pingedMs !== undefined) return nowMs - this.#pingedMs >= answerMs ? 'dead' : 'ok';
    if (nowMs - this.#lastReadMs < silenceMs) return 'ok';
    this.#pingedMs = nowMs;
    return 'ping';
  }
}

/** Clients may ping this often, streams or no streams. */
const MIN_PING_INTERVAL_MS = 20_000;
const STRIKES_ALLOWED = 2;
/** Frame header and payload: what our acknowledgement of a ping adds to the bytes written. */
const PING_FRAME_BYTES = 17;

/** Judges a client's pings: those that come too often are strikes, and the third strike is one too many. */
export class PingPolicy {
  #lastPingMs = Number.NEGATIVE_INFINITY;
  /** Bytes written when the pings below began to be counted. */
  #bytesWritten = 0;
  #pings = 0;
  #strikes = 0;

  /**
   * @param bytesWritten to the connection so far. Pings that follow something we sent are no strikes: that is how clients
   *   measure bandwidth.
   * @returns false if the client has to go.
   */
  allow(nowMs: number, bytesWritten: number): boolean {
    const sentSomething = bytesWritten - this.#bytesWritten > this.#pings * PING_FRAME_BYTES;
    const tooSoon = nowMs - this.#lastPingMs < MIN_PING_INTERVAL_MS;
    this.#lastPingMs = nowMs;
    if (sentSomething) {
      this.#bytesWritten = bytesWritten;
      this.#pings = 0;
      this.#strikes = 0;
    } else if (tooSoon) this.#strikes++;
    this.#pings++;
    return this.#strikes <= STRIKES_ALLOWED;
  }
}

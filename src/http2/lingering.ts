import type { Clock, Timer } from '../runtime/clock.ts';
import { ErrorCode } from './error_code.ts';
import type { Stream } from './stream.ts';

/** A client whose answer was complete before its request has so long to end it: what it had sent already should not make us tell it to stop. */
const LINGER_MS = 10;

/** Streams whose answers are complete and whose requests are not: after a moment their clients are asked to stop (RFC 9113, 8.1). */
export class Lingering {
  readonly #clock: Clock;
  #streams: Stream[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that come before the timer goes off have less than the whole time. */
  add(stream: Stream): void {
    this.#streams.push(stream);
    this.#timer ??= this.#clock.startTimer(LINGER_MS, () => this.#cut());
  }

  stop(): void {
    this.#timer?.stop();
  }

  #cut(): void {
    this.#timer = undefined;
    for (const stream of this.#streams.splice(0)) stream.cut(ErrorCode.NoError);
  }
}

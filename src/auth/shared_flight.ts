/**
 * Work that several callers wait for. Each may stop waiting; when nobody waits any more, the work is aborted and a later
 * caller begins anew instead of joining something that is being given up.
 */
export class SharedFlight<V> {
  readonly #abort = new AbortController();
  readonly #ended: (flight: SharedFlight<V>) => void;
  readonly #result: Promise<V>;
  #waiting = 0;

  /** @param ended called once, when the work is done or given up: forget the flight then */
  constructor(work: (signal: AbortSignal) => Promise<V>, ended: (flight: SharedFlight<V>) => void) {
    this.#ended = ended;
    this.#result = work(this.#abort.signal);
    this.#result.then(
      () => ended(this),
      () => ended(this),
    );
  }

  /** The work's result, or a rejection with the signal's reason as soon as it fires. */
  join(signal: AbortSignal): Promise<V> {
    this.#waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (--this.#waiting === 0) {
          this.#ended(this);
          this.#abort.abort(signal.reason);
        }
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      const settled = () => signal.removeEventListener('abort', leave);
      this.#result.then(
        (value) => {
          settled();
          resolve(value);
        },
        (error) => {
          settled();
          reject(error);
        },
      );
    });
  }
}

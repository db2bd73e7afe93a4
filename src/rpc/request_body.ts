/** A request's body, as its handler reads it: what is still missing can be given up. */
export class RequestBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  #giveUp: ((error: Error) => void) | undefined;
  #error: Error | undefined;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** The reader gets this error, now or when it asks for more. */
  fail(error: Error): void {
    this.#error = error;
    this.#giveUp?.(error);
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#giveUp = reject;
      this.#source.next().then(resolve, reject);
    });
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

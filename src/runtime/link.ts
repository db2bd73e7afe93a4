import { AppError, errorText } from './app_error.ts';
import { StatusCode } from './status_code.ts';

/** What goes over a link. Plain data, as structured cloning takes it: numbers, bigint, Buffer, Map, Set. */
export type LinkMessage =
  | { readonly is: 'call'; readonly id: number; readonly name: string; readonly args: readonly unknown[] }
  | { readonly is: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly is: 'refusal'; readonly id: number; readonly code: StatusCode; readonly text: string }
  | { readonly is: 'word'; readonly name: string; readonly args: readonly unknown[] };

/** Takes what the other end has sent. `handle` is a socket that came along. */
type Handler = (args: readonly never[], handle: unknown) => unknown;

/**
 * One end of the way between two processes of this server: calls that are answered, and words that are not. Messages arrive in
 * the order in which they were sent.
 */
export class Link {
  readonly #send: (message: LinkMessage, handle?: unknown) => void;
  readonly #handlers = new Map<string, Handler>();
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #lastId = 0;
  #broken: string | undefined;

  /** @param send must not throw */
  constructor(send: (message: LinkMessage, handle?: unknown) => void) {
    this.#send = send;
  }

  /** Answers calls and takes words of this name. What `handler` throws or rejects with reaches the caller as an AppError. */
  on<A extends readonly unknown[]>(name: string, handler: (args: A, handle: unknown) => unknown): void {
    this.#handlers.set(name, handler as unknown as Handler);
  }

  /** @throws AppError what the other end refused with; Unavailable if the link is broken */
  call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    if (this.#broken !== undefined) return Promise.reject(broken(this.#broken));
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#calls.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#send({ is: 'call', id, name, args });
    });
  }

  /** Without an answer, and without knowing whether it arrives. */
  tell(name: string, ...args: readonly unknown[]): void {
    if (this.#broken === undefined) this.#send({ is: 'word', name, args });
  }

  /** Like `tell`, and hands a socket over. */
  hand(name: string, handle: unknown, ...args: readonly unknown[]): void {
    if (this.#broken === undefined) this.#send({ is: 'word', name, args }, handle);
  }

  /** For whoever holds the other end: this message has arrived. */
  receive(message: LinkMessage, handle?: unknown): void {
    switch (message.is) {
      case 'word':
        this.#handlers.get(message.name)?.(message.args as readonly never[], handle);
        return;
      case 'call':
        void this.#answer(message.id, message.name, message.args);
        return;
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        return;
      case 'refusal':
        this.#take(message.id)?.reject(new AppError(message.code, message.text));
        return;
    }
  }

  /** Nothing arrives any more: calls that wait are refused, and all that follow. */
  break(reason: string): void {
    this.#broken ??= reason;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject } of calls) reject(broken(reason));
  }

  async #answer(id: number, name: string, args: readonly unknown[]): Promise<void> {
    try {
      const handler = this.#handlers.get(name);
      if (handler === undefined) throw new AppError(StatusCode.Unimplemented, `nobody answers ${name}`);
      const value = await handler(args as readonly never[], undefined);
      this.#reply({ is: 'answer', id, value });
    } catch (error) {
      const code = error instanceof AppError ? error.code : StatusCode.Internal;
      this.#reply({ is: 'refusal', id, code, text: errorText(error) });
    }
  }

  #reply(message: LinkMessage): void {
    if (this.#broken === undefined) this.#send(message);
  }

  #take(id: number) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    return call;
  }
}

function broken(reason: string): AppError {
  return new AppError(StatusCode.Unavailable, reason);
}

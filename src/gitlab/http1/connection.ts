import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { ResponseHead } from './response_head.ts';
import { ResponseReader, type ResponseSink } from './response_reader.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Whole, if it came together with the head. */
  readonly body: Buffer | Readable;
}

/** Whoever has asked. One of the first two comes once, and at last `over`. */
export interface Exchange {
  answered(answer: Answer): void;
  /** @param untouched the connection ended by itself, before anything of an answer came */
  failed(error: Error, untouched: boolean): void;
  /** Nothing more comes. @param reusable whether the connection carries another exchange */
  over(reusable: boolean): void;
}

/** A connection with GitLab that carries one exchange after the other. */
export class Connection implements ResponseSink {
  readonly #socket: Socket;
  #exchange: Exchange | undefined;
  #reader: ResponseReader | undefined;
  #head: ResponseHead | undefined;
  /** What has come of the body before anybody was told of the answer. */
  #pieces: Buffer[] = [];
  #stream: Readable | undefined;
  /** The connection has not ended by itself, or not before something of the answer came. */
  #touched = false;
  #bodyOver = false;
  #error: Error | undefined;

  /** @param onClosed it is of no more use */
  constructor(socket: Socket, onClosed: () => void) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('close', () => {
      onClosed();
      this.#closed();
    });
    socket.resume(); // if its opener has stopped it
  }

  /** Sends a request, head and body, on a connection that is free. */
  ask(request: Buffer | string, exchange: Exchange): void {
    this.#exchange = exchange;
    this.#reader = new ResponseReader(this);
    this.#head = undefined;
    this.#touched = false;
    this.#bodyOver = false;
    this.#socket.write(request as string, 'latin1');
  }

  destroy(error?: Error): void {
    this.#touched = true;
    this.#error ??= error;
    this.#socket.destroy();
  }

  head(head: ResponseHead): void {
    this.#head = head;
  }

  data(piece: Buffer): void {
    if (this.#stream === undefined) this.#pieces.push(piece);
    else if (!this.#stream.push(piece)) this.#socket.pause();
  }

  end(): void {
    this.#bodyOver = true;
  }

  #receive(chunk: Buffer): void {
    const reader = this.#reader;
    if (reader === undefined) {
      this.destroy(); // nobody has asked
      return;
    }
    this.#touched = true;
    try {
      reader.push(chunk);
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    this.#tell();
  }

  /** Tells of what has come with the last piece. */
  #tell(): void {
    const exchange = this.#exchange;
    const head = this.#head;
    if (exchange === undefined || head === undefined) return;
    const first = this.#stream === undefined;
    if (first) {
      const pieces = this.#pieces;
      this.#pieces = [];
      const { status, headers } = head;
      const body = this.#bodyOver ? wholeOf(pieces) : this.#openStream(pieces);
      exchange.answered({ status, headers, body });
    }
    if (!this.#bodyOver) return;
    const stream = this.#stream;
    this.#free();
    exchange.over(head.keepsConnection);
    stream?.push(null);
  }

  #openStream(pieces: readonly Buffer[]): Readable {
    const stream = new Readable({
      read: () => this.#socket.resume(),
      destroy: (error, done) => {
        if (this.#stream === stream) this.destroy(error ?? undefined);
        done(error);
      },
    });
    // Readers hear of errors through the stream's own means; without a listener one that nobody reads would end the process.
    stream.on('error', () => {});
    this.#stream = stream;
    for (const piece of pieces) stream.push(piece);
    return stream;
  }

  #free(): void {
    this.#exchange = undefined;
    this.#reader = undefined;
    this.#stream = undefined;
    this.#socket.resume();
  }

  #closed(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    if (this.#error === undefined && this.#reader?.ended()) {
      this.#tell();
      return;
    }
    const stream = this.#stream;
    this.#free();
    if (stream !== undefined) stream.destroy(this.#error ?? new Error('the response was cut off'));
    else exchange.failed(this.#error ?? new Error('the connection was closed before the answer'), !this.#touched);
    exchange.over(false);
  }
}

function wholeOf(pieces: readonly Buffer[]): Buffer {
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

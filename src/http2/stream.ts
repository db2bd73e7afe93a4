import type { IncomingHttpHeaders } from 'node:http2';
import type { Connection } from './connection.ts';
import { ErrorCode } from './error_code.ts';
import { encodeHeaders, type HeaderValue } from './hpack/encoder.ts';

/** What is sent: names in lower case. */
export type Headers = Readonly<Record<string, HeaderValue>>;

/** Who reads a stream. `closed` comes once, last, whoever ended it; all else only while the stream is not paused. */
export interface StreamSink {
  /** The answer's head, where we are the client. */
  headers?(headers: IncomingHttpHeaders): void;
  /** May be kept, but is a view that keeps a larger buffer alive. */
  data(chunk: Buffer): void;
  trailers?(headers: IncomingHttpHeaders): void;
  /** The peer sends nothing more. */
  ended(): void;
  /** Writing may go on after `write` returned false. */
  drained(): void;
  /** Nothing is sent or received any more. `code` is RST_STREAM's, or NO_ERROR; to a server that is an answer which has been sent. */
  closed(code: number): void;
}

/** Bytes that may wait in one stream before its writer is told to stop. */
const WRITE_BUFFER_BYTES = 128 << 10;
/** What a piece costs besides its bytes. */
const PIECE_OVERHEAD_BYTES = 100;
/** A piece that a paused stream has to keep is copied if the buffer it came in is larger by more than this … */
const WASTE = 4;
/** … or if it is so small that what it costs besides its bytes is more than they are. */
const CRUMB_BYTES = 1 << 10;

/** Buffers for pieces that are copied: small for the first crumb, and as large as a frame for many. */
const GATHER_BYTES = { first: 512, most: 16 << 10 };

/** What a paused stream has not given on yet. */
type Held = Buffer | Gathered | HeldHeaders;
export interface HeldHeaders {
  readonly headers?: IncomingHttpHeaders;
  readonly trailers?: IncomingHttpHeaders;
}

/** One request and its answer on a connection of HTTP/2 (RFC 9113, 5). It begins paused. */
export class Stream {
  /** 0 while it waits for its turn. */
  id: number;
  readonly #connection: Connection;
  #sink: StreamSink | undefined;
  /** What the peer still takes; below zero after it has made its windows smaller. */
  sendWindow: number;
  /** What the peer may still send. */
  receiveWindow: number;
  /** Bytes that were read, of which the peer has not been told. */
  #unacknowledged = 0;
  /** What content-length promises of the rest; -1: nothing. */
  #promised = -1;
  #paused = true;
  #delivering = false;
  #remoteEnded = false;
  #localEnded = false;
  #closed = false;
  /** Whoever used it has been told that it is closed. */
  #left = false;
  #endTold = false;
  #starved = false;
  #held: Held[] | undefined;
  #heldBytes = 0;
  #queue: Buffer[] | undefined;
  #queuedBytes = 0;
  /** The end has been asked for; the trailers, if there are any. */
  #endDue: Headers | true | undefined;

  constructor(connection: Connection, id: number, sendWindow: number, receiveWindow: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** For the connection: the stream's turn has come. */
  begin(id: number, sendWindow: number, receiveWindow: number): void {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** The answer's head has come, where we are the client. */
  answered = false;

  get closed(): boolean {
    return this.#left;
  }

  /** For the connection: no frames are expected any more. */
  get over(): boolean {
    return this.#closed;
  }

  /** The peer has sent its end, though it may not have been given on yet. */
  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  /** Everything has been sent; the peer may still send. */
  get localEnded(): boolean {
    return this.#localEnded;
  }

  /** Data waits to be sent. */
  get hasQueue(): boolean {
    return this.#queuedBytes > 0;
  }

  /** Sets who reads; `resume` begins it. */
  open(sink: StreamSink): void {
    this.#sink = sink;
  }

  // ---- sending

  /** Sends the answer's head; after it `write` may follow, unless it is the end. */
  sendHeaders(headers: Headers, end = false): void {
    if (this.#left || this.#localEnded) return;
    this.#connection.sending.headers(this.id, encodeHeaders(headers), end);
    if (end) this.#localEnd();
  }

  /** Sends data; the bytes are the stream's from now on. False: wait for `drained`. */
  write(bytes: Buffer): boolean {
    if (this.#left || this.#endDue !== undefined || this.#localEnded) return true;
    if (bytes.length === 0) return !this.#starved;
    let at = 0;
    if (this.#queuedBytes === 0) {
      at = this.#connection.sending.data(this, bytes, false);
      if (at === bytes.length) return true;
    }
    this.#queue ??= [];
    this.#queue.push(at === 0 ? bytes : bytes.subarray(at));
    this.#queuedBytes += bytes.length - at;
    this.#connection.sending.wait(this);
    if (this.#queuedBytes + this.#queue.length * PIECE_OVERHEAD_BYTES < WRITE_BUFFER_BYTES) return true;
    this.#starved = true;
    return false;
  }

  /** No more data; the trailers, if any, are the end. */
  end(trailers?: Headers): void {
    if (this.#left || this.#endDue !== undefined || this.#localEnded) return;
    this.#endDue = trailers ?? true;
    if (this.#queuedBytes === 0 && this.id !== 0) this.#sendEnd();
  }

  /** For the connection: there is room again. Returns false while something still waits. */
  sendQueued(): boolean {
    const queue = this.#queue;
    while (queue !== undefined && queue.length > 0) {
      const first = queue[0]!;
      const last = queue.length === 1 && this.#endDue === true;
      const sent = this.#connection.sending.data(this, first, last);
      this.#queuedBytes -= sent;
      if (sent < first.length) {
        queue[0] = first.subarray(sent);
        return false;
      }
      queue.shift();
      if (last) {
        this.#localEnd();
        return true;
      }
    }
    if (this.#endDue !== undefined) this.#sendEnd();
    else if (this.#starved) {
      this.#starved = false;
      this.#tell((sink) => sink.drained());
    }
    return true;
  }

  #sendEnd(): void {
    const { sending } = this.#connection;
    if (this.#endDue === true) sending.endOfData(this.id);
    else sending.headers(this.id, encodeHeaders(this.#endDue ?? {}), true);
    this.#localEnd();
  }

  /** Everything has been sent. Of a server's stream what the client still sends is of no use any more. */
  #localEnd(): void {
    this.#localEnded = true;
    if (this.#remoteEnded) this.#closeIfDone();
    else if (this.#connection.isServer) {
      this.#connection.linger(this);
      this.#leave(ErrorCode.NoError);
    }
    this.#connection.served();
  }

  /** Ends the stream in both directions, now: what waits is dropped. */
  reset(code: number): void {
    if (!this.#left) this.cut(code);
  }

  /** For the connection: the same, whoever has left. */
  cut(code: number): void {
    if (this.#closed) return;
    const complete = this.#localEnded && this.#remoteEnded; // each side has said its last word
    if (this.id !== 0 && !complete) this.#connection.sendReset(this.id, code);
    this.close(code);
  }

  // ---- receiving

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliverHeld();
  }

  /** For the connection: so long is the body to be. False: that is no length. */
  promise(contentLength: string | undefined): boolean {
    if (contentLength === undefined) return true;
    if (!/^\d{1,15}$/.test(contentLength)) return false;
    this.#promised = Number(contentLength);
    return true;
  }

  /** For the connection: so many bytes come. False: more than the window allows. */
  admit(bytes: number): boolean {
    this.receiveWindow -= bytes;
    return this.receiveWindow >= 0;
  }

  /** For the connection: bytes that came and that nobody is to read. */
  skip(bytes: number): void {
    this.#unacknowledged += bytes;
    this.#acknowledge();
  }

  /** For the connection: what the peer has sent. False: more or less than it promised. */
  receive(chunk: Buffer): boolean {
    if (this.#promised >= 0) {
      this.#promised -= chunk.length;
      if (this.#promised < 0) return false;
    }
    if (this.#left) return true;
    if (this.#mustHold) this.#hold(chunk);
    else this.#giveData(chunk);
    return true;
  }

  receiveHeaders(headers: HeldHeaders): void {
    if (this.#left) return;
    if (this.#mustHold) {
      this.#held ??= [];
      this.#held.push(headers);
    } else this.#giveHeaders(headers);
  }

  /** For the connection: the peer has ended its side. False: it had promised more. */
  receiveEnd(): boolean {
    if (this.#promised > 0) return false;
    this.#remoteEnded = true;
    if (this.#left) this.#closeIfDone();
    else this.#deliverHeld();
    return true;
  }

  /** For the connection: the peer has reset the stream, or is gone. */
  receiveReset(code: number): void {
    if (this.#closed) return;
    if (code === ErrorCode.NoError && this.#remoteEnded && !this.#connection.isServer) {
      // The whole answer is here, even if nobody has read it yet.
      this.#localEnded = true;
      this.#dropQueue();
      this.#closeIfDone();
    } else if (code === ErrorCode.NoError && this.#connection.isServer)
      this.close(ErrorCode.Cancel); // nothing was complete
    else this.close(code);
  }

  /** For the connection: it is over, whatever was left. */
  close(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.forget(this);
    this.#leave(code);
    this.#connection.goOn();
  }

  #leave(code: number): void {
    if (this.#left) return;
    this.#left = true;
    this.#held = undefined;
    if (this.#heldBytes > 0) this.#release(this.#heldBytes);
    this.#dropQueue();
    this.#tell((sink) => sink.closed(code));
  }

  #tell(tell: (sink: StreamSink) => void): void {
    if (this.#sink === undefined) return;
    try {
      tell(this.#sink);
    } catch (error) {
      this.#defect(error);
    }
  }

  /** Whoever uses the stream has a defect: it costs this stream and not the connection, and the process hears of it by itself. */
  #defect(error: unknown): void {
    process.nextTick(rethrow, error);
    this.reset(ErrorCode.InternalError);
  }

  #dropQueue(): void {
    this.#queue = undefined;
    this.#queuedBytes = 0;
  }

  get #mustHold(): boolean {
    return this.#paused || this.#delivering || this.#held !== undefined;
  }

  #hold(chunk: Buffer): void {
    this.#heldBytes += chunk.length;
    this.#connection.receiving.hold(chunk.length);
    this.#held ??= [];
    const held = this.#held;
    if (chunk.length >= CRUMB_BYTES && chunk.length * WASTE >= chunk.buffer.byteLength) {
      held.push(chunk);
      return;
    }
    const last = held.at(-1);
    const before = last instanceof Gathered ? last : undefined;
    const rest = chunk.subarray(before?.add(chunk) ?? 0);
    if (rest.length > 0) held.push(new Gathered(rest, before === undefined ? GATHER_BYTES.first : before.size * 2));
  }

  #giveHeaders({ headers, trailers }: HeldHeaders): void {
    if (headers !== undefined) this.#tell((sink) => sink.headers?.(headers));
    if (trailers !== undefined) this.#tell((sink) => sink.trailers?.(trailers));
  }

  #giveData(chunk: Buffer): void {
    this.#unacknowledged += chunk.length;
    try {
      this.#sink?.data(chunk);
    } catch (error) {
      this.#defect(error);
    }
    this.#acknowledge();
  }

  #giveHeld(chunk: Buffer): void {
    this.#release(chunk.length);
    this.#giveData(chunk);
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#connection.receiving.hold(-bytes);
  }

  #acknowledge(): void {
    if (this.#left || this.#remoteEnded) return;
    // Told late, so that a stream costs few frames, but while the peer has a good part left.
    if (this.#unacknowledged * 2 < this.#connection.receiving.streamWindow) return;
    this.receiveWindow += this.#unacknowledged;
    this.#connection.sendWindowUpdate(this.id, this.#unacknowledged);
    this.#unacknowledged = 0;
  }

  #deliverHeld(): void {
    if (this.#delivering || this.#left) return;
    const held = this.#held;
    if (held !== undefined) {
      this.#delivering = true;
      let at = 0;
      try {
        for (; at < held.length && !this.#paused && !this.#left; at++) {
          const next = held[at]!;
          if (next instanceof Gathered) this.#giveHeld(next.bytes);
          else if (Buffer.isBuffer(next)) this.#giveHeld(next);
          else this.#giveHeaders(next);
        }
      } finally {
        this.#delivering = false;
      }
      if (this.#left) return;
      this.#held = at === held.length ? undefined : held.slice(at);
    }
    if (!this.#remoteEnded || this.#paused || this.#endTold || this.#held !== undefined) return;
    this.#endTold = true;
    this.#tell((sink) => sink.ended());
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#localEnded && this.#remoteEnded && (this.#endTold || this.#connection.isServer))
      this.close(ErrorCode.NoError);
  }
}

/** Small pieces, copied together. */
class Gathered {
  readonly #buffer: Buffer;
  #length = 0;

  constructor(chunk: Buffer, size: number) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(chunk.length, Math.min(size, GATHER_BYTES.most)));
    this.add(chunk);
  }

  get size(): number {
    return this.#buffer.length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** How many bytes there was room for. */
  add(chunk: Buffer): number {
    const copied = chunk.copy(this.#buffer, this.#length);
    this.#length += copied;
    return copied;
  }
}

function rethrow(error: unknown): void {
  throw error;
}

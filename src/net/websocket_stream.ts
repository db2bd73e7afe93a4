import { Duplex } from 'node:stream';
import type { Scope } from '../runtime/scope.ts';
import { CloseCode, closeFrame, FrameReader, frameHeader, Opcode } from './websocket_frames.ts';

/** The largest message that is taken; we send smaller ones. */
const MAX_MESSAGE_BYTES = 10 << 20;
/** nginx cuts a connection on which it has heard nothing from us for 60 s, its default. */
const PING_INTERVAL_MS = 45_000;
/** How long the peer may take to answer our close frame. */
const CLOSE_TIMEOUT_MS = 1000;
/** A peer that pings faster than it reads gets no more pongs. */
const MAX_UNSENT_PONG_BYTES = 64 << 10;

const PING = frameHeader(Opcode.Ping, 0);

/**
 * The bytes inside a WebSocket, server's end: payloads of binary messages are read, one binary message is written for all that
 * is ready to be written. Ends with the WebSocket and takes it along.
 */
export class WebSocketStream extends Duplex {
  bytesRead = 0;
  bytesWritten = 0;
  readonly #socket: Duplex;
  readonly #scope: Scope;
  #closeSent = false;
  #closeReceived = false;

  /** @param socket behind the handshake; `head` is what was read of it already. */
  constructor(socket: Duplex, head: Buffer, parent: Scope) {
    super({
      allowHalfOpen: false,
      decodeStrings: true,
      readableHighWaterMark: 256 << 10,
      writableHighWaterMark: 256 << 10,
    });
    this.#socket = socket;
    this.#scope = parent.child();
    const reader = new FrameReader(
      {
        data: (payload) => {
          this.bytesRead += payload.length;
          if (!this.readableEnded && !this.destroyed && !this.push(payload)) socket.pause();
        },
        ping: (payload) => {
          if (this.#closeSent || socket.writableLength > MAX_UNSENT_PONG_BYTES) return;
          socket.write(Buffer.concat([frameHeader(Opcode.Pong, payload.length), payload]));
        },
        close: (code, reason) => {
          this.#closeReceived = true;
          this.closeWebSocket(code, reason);
        },
        violation: (code, reason) => {
          this.#closeReceived = true; // it would not be understood
          this.closeWebSocket(code, reason);
        },
      },
      MAX_MESSAGE_BYTES,
    );
    if (head.length > 0) reader.push(head);
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    socket.on('error', ignore);
    socket.on('end', () => this.#lose());
    socket.on('close', () => this.#lose());
    this.on('error', ignore);
    this.#schedulePing();
  }

  /** Ends the WebSocket with a close frame, and this stream with it. Idempotent. */
  closeWebSocket(code: number, reason: string): void {
    if (!this.#closeSent) {
      this.#closeSent = true;
      if (this.#socket.writable) this.#socket.write(closeFrame(code, reason));
    }
    if (this.#closeReceived) this.#hangUp();
    else this.#scope.timeout(CLOSE_TIMEOUT_MS, () => this.#lose());
    this.destroy();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk.length, [chunk], done);
  }

  override _writev(items: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    let length = 0;
    const chunks = items.map(({ chunk }) => {
      length += chunk.length;
      return chunk;
    });
    this.#send(length, chunks, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    done();
    this.closeWebSocket(CloseCode.Normal, '');
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error);
    this.closeWebSocket(CloseCode.Normal, '');
  }

  #send(length: number, chunks: readonly Buffer[], done: (error?: Error | null) => void): void {
    const socket = this.#socket;
    if (this.#closeSent || !socket.writable) {
      done(new Error('WebSocket is closed'));
      return;
    }
    this.bytesWritten += length;
    socket.cork();
    socket.write(frameHeader(Opcode.Binary, length));
    for (const [i, chunk] of chunks.entries()) {
      if (i < chunks.length - 1) socket.write(chunk);
      else socket.write(chunk, done);
    }
    socket.uncork();
  }

  #schedulePing(): void {
    this.#scope.timeout(PING_INTERVAL_MS, () => {
      if (this.#closeSent || !this.#socket.writable) return;
      this.#socket.write(PING);
      this.#schedulePing();
    });
  }

  /** Sends FIN after what was written, and goes on reading for a while: unread bytes would turn the FIN into a reset. */
  #hangUp(): void {
    this.#socket.end();
    this.#socket.resume();
    this.#scope.timeout(CLOSE_TIMEOUT_MS, () => this.#lose());
  }

  #lose(): void {
    this.#closeSent = true;
    this.#socket.destroy();
    this.#scope.close();
    this.destroy();
  }
}

function ignore(): void {}

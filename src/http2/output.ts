import type { Writable } from 'node:stream';
import { FRAME_HEADER_BYTES } from './frame.ts';

/** Bytes that may wait for the transport before streams keep theirs to themselves. */
const FULL_BYTES = 64 << 10;
/** Up to here a frame's payload is copied behind its header. */
const COPY_BYTES = 2 << 10;
/** Up to here what leaves together is rather copied into one buffer than handed over in pieces. */
const JOIN_BYTES = 16 << 10;
const FIRST_BLOCK_BYTES = 512;

/** Frames on their way out. What is sent in one turn of the event loop is written together. */
export class Output {
  readonly #transport: Writable;
  readonly #onRoom: () => void;
  /** What is to be written: blocks of small frames, and large payloads as they are. */
  #pieces: Buffer[] = [];
  /** The block that is being filled, and how far; what stands before `#from` is among the pieces already. */
  #block: Buffer | undefined;
  #from = 0;
  #at = 0;
  #bytes = 0;
  #scheduled = false;
  /** The transport has asked to wait. */
  #blocked = false;

  /** @param onRoom is called when there may be room again after `full` */
  constructor(transport: Writable, onRoom: () => void) {
    this.#transport = transport;
    this.#onRoom = onRoom;
    transport.on('drain', () => {
      this.#blocked = false;
      this.#onRoom();
    });
  }

  /** Data has to wait. Other frames need not: there are few. */
  get full(): boolean {
    return this.#blocked || this.#bytes >= FULL_BYTES;
  }

  /** Bytes that the transport has not sent yet. */
  get waitingBytes(): number {
    return this.#bytes + this.#transport.writableLength;
  }

  /** A frame (RFC 9113, 4.1). Its payload is the output's from now on. */
  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    const { length } = payload;
    const copied = length <= COPY_BYTES;
    const block = this.#room(FRAME_HEADER_BYTES + (copied ? length : 0));
    let at = this.#at;
    block[at++] = length >>> 16;
    block[at++] = length >>> 8;
    block[at++] = length;
    block[at++] = type;
    block[at++] = flags;
    block[at++] = streamId >>> 24;
    block[at++] = streamId >>> 16;
    block[at++] = streamId >>> 8;
    block[at++] = streamId;
    if (copied) at += payload.copy(block, at);
    this.#at = at;
    this.#bytes += FRAME_HEADER_BYTES + length;
    if (!copied) {
      this.#seal();
      this.#pieces.push(payload);
    }
    this.#schedule();
  }

  /** A frame whose payload is one number of 32 bits: RST_STREAM, WINDOW_UPDATE. */
  numberFrame(type: number, streamId: number, value: number): void {
    NUMBER.writeUInt32BE(value);
    this.frame(type, 0, streamId, NUMBER);
  }

  /** Bytes that are no frame. */
  bytes(bytes: Buffer): void {
    this.#seal();
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    this.#schedule();
  }

  /** Hands everything to the transport. Comes by itself at the end of the turn. */
  flush(): void {
    this.#scheduled = false;
    const bytes = this.#bytes;
    if (bytes === 0) return;
    this.#seal();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#block = undefined;
    this.#bytes = 0;
    if (this.#transport.destroyed || this.#transport.writableEnded) return;
    this.#write(pieces, bytes);
    if (bytes >= FULL_BYTES && !this.#blocked) this.#onRoom();
  }

  #write(pieces: readonly Buffer[], bytes: number): void {
    const transport = this.#transport;
    if (pieces.length === 1) this.#blocked = !transport.write(pieces[0]!);
    else if (bytes <= JOIN_BYTES) this.#blocked = !transport.write(Buffer.concat(pieces, bytes));
    else {
      transport.cork();
      for (const piece of pieces) this.#blocked = !transport.write(piece);
      transport.uncork();
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(flush, this);
  }

  /** A block with room for so many bytes behind `#at`. */
  #room(bytes: number): Buffer {
    let block = this.#block;
    if (block !== undefined && this.#at + bytes <= block.length) return block;
    this.#seal();
    const size = block === undefined ? FIRST_BLOCK_BYTES : Math.min(block.length * 2, JOIN_BYTES);
    block = Buffer.allocUnsafe(Math.max(size, bytes));
    this.#block = block;
    this.#from = 0;
    this.#at = 0;
    return block;
  }

  /** What the block has so far goes to the pieces. */
  #seal(): void {
    if (this.#block === undefined || this.#at === this.#from) return;
    this.#pieces.push(this.#block.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }
}

const NUMBER = Buffer.alloc(4);

function flush(output: Output): void {
  output.flush();
}

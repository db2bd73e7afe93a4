import type { Writable } from 'node:stream';

/** Bytes that may wait for the transport before streams keep theirs to themselves. */
const FULL_BYTES = 64 << 10;
/** Up to here bytes are rather copied into one buffer than handed over as several. */
const JOIN_BYTES = 16 << 10;

/** Collects what is sent in one turn of the event loop, so that it leaves in one write. */
export class Output {
  readonly #transport: Writable;
  readonly #onRoom: () => void;
  #chunks: Buffer[] = [];
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

  /** Bytes that the transport has not taken yet. */
  get waitingBytes(): number {
    return this.#bytes + this.#transport.writableLength;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(flush, this);
  }

  flush(): void {
    this.#scheduled = false;
    const chunks = this.#chunks;
    const wasFull = this.#bytes >= FULL_BYTES;
    const bytes = this.#bytes;
    if (bytes === 0) return;
    this.#chunks = [];
    this.#bytes = 0;
    if (this.#transport.destroyed || this.#transport.writableEnded) return;
    if (chunks.length === 1) this.#blocked = !this.#transport.write(chunks[0]!);
    else if (bytes <= JOIN_BYTES) this.#blocked = !this.#transport.write(Buffer.concat(chunks, bytes));
    else {
      this.#transport.cork();
      for (const chunk of chunks) this.#blocked = !this.#transport.write(chunk);
      this.#transport.uncork();
    }
    if (wasFull && !this.#blocked) this.#onRoom();
  }
}

function flush(output: Output): void {
  output.flush();
}

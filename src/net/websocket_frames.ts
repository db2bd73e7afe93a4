/** Opcodes of RFC 6455, 5.2. */
export const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9, Pong: 10 } as const;

/** Close codes of RFC 6455, 7.4.1. */
export const CloseCode = {
  Normal: 1000,
  GoingAway: 1001,
  ProtocolError: 1002,
  UnsupportedData: 1003,
  NoStatus: 1005,
  MessageTooBig: 1009,
} as const;

/** Header (unmasked) of a frame with a payload of `length` bytes, as servers send them. */
export function frameHeader(opcode: number, length: number): Buffer {
  if (length < 126) return Buffer.from([0x80 | opcode, length]);
  if (length < 1 << 16) {
    const header = Buffer.allocUnsafe(4);
    header[0] = 0x80 | opcode;
    header[1] = 126;
    header.writeUInt16BE(length, 2);
    return header;
  }
  const header = Buffer.allocUnsafe(10);
  header[0] = 0x80 | opcode;
  header[1] = 127;
  header.writeUIntBE(0, 2, 4);
  header.writeUInt32BE(length, 6);
  return header;
}

/** A whole close frame; the reason is cut to what fits. */
export function closeFrame(code: number, reason: string): Buffer {
  if (code === CloseCode.NoStatus) return frameHeader(Opcode.Close, 0);
  const text = Buffer.from(reason).subarray(0, 123);
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code, 0);
  text.copy(payload, 2);
  return Buffer.concat([frameHeader(Opcode.Close, payload.length), payload]);
}

export interface FrameHandlers {
  /** Bytes of a binary message as they come: a view of the chunk that was read. */
  data(payload: Buffer): void;
  ping(payload: Buffer): void;
  close(code: number, reason: string): void;
  /** The peer broke the protocol; nothing more is read. */
  violation(code: number, reason: string): void;
}

/** What the header of a frame says. */
interface FrameStart {
  readonly first: number;
  readonly masked: boolean;
  readonly final: boolean;
  readonly opcode: number;
  readonly length: number;
}

/** Two bytes, eight of length, four of mask. */
const MAX_HEADER_BYTES = 14;

/**
 * Takes the frames of a WebSocket client apart. The tunnel only wants the bytes, so payloads are handed on while their message
 * is still arriving, unmasked in place: nothing is copied, whatever the size of a message.
 */
export class FrameReader {
  readonly #handlers: FrameHandlers;
  readonly #maxMessageBytes: number;
  /** Start of a header whose end has not arrived. */
  readonly #header = Buffer.alloc(MAX_HEADER_BYTES);
  #headerBytes = 0;
  /** Payload bytes of the present frame still to come. */
  #left = 0;
  #opcode = 0;
  #inFrame = false;
  /** Mask for the next payload byte first, as a number whose lowest byte that is. */
  #mask = 0;
  /** Inside a fragmented message, and how long it is so far. */
  #inMessage = false;
  #messageBytes = 0;
  #control: Buffer | undefined;
  #failed = false;

  constructor(handlers: FrameHandlers, maxMessageBytes: number) {
    this.#handlers = handlers;
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** @param chunk bytes off the socket; changed in place, theirs no longer. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#failed) {
      if (!this.#inFrame) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      this.#payload(chunk.subarray(at, end));
      at = end;
    }
  }

  #readHeader(chunk: Buffer, start: number): number {
    let at = start;
    do {
      this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
    } while (at < chunk.length && this.#headerBytes < this.#headerSize());
    if (this.#headerBytes === this.#headerSize()) this.#beginFrame();
    return at;
  }

  /** How long the header is, as far as its second byte is known. */
  #headerSize(): number {
    if (this.#headerBytes < 2) return 2;
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0);
  }

  #beginFrame(): void {
    const header = this.#header;
    const size = this.#headerBytes;
    this.#headerBytes = 0;
    const first = header[0] ?? 0;
    const masked = ((header[1] ?? 0) & 0x80) !== 0;
    const short = (header[1] ?? 0) & 0x7f;
    const length =
      short < 126
        ? short
        : short === 126
          ? header.readUInt16BE(2)
          : header.readUInt32BE(2) * 2 ** 32 + header.readUInt32BE(6);
    this.#mask = masked ? header.readUInt32LE(size - 4) : 0;
    const frame: FrameStart = { first, masked, final: (first & 0x80) !== 0, opcode: first & 0x0f, length };
    const violation = this.#violation(frame);
    if (violation !== undefined) {
      this.#failed = true;
      this.#handlers.violation(...violation);
      return;
    }
    this.#opcode = frame.opcode;
    if (frame.opcode >= Opcode.Close) this.#control = Buffer.alloc(0);
    else {
      this.#inMessage = !frame.final;
      this.#messageBytes = frame.final ? 0 : this.#messageBytes + length;
    }
    this.#left = length;
    this.#inFrame = length > 0;
    if (length === 0 && this.#control !== undefined) this.#endControl();
  }

  /** What is wrong with a frame, as close code and reason. */
  #violation({ first, masked, final, opcode, length }: FrameStart): [number, string] | undefined {
    if (first & 0x70) {
      const rsv = [0x40, 0x20, 0x10].map((bit) => (first & bit) !== 0).join(':');
      return [CloseCode.ProtocolError, `received header with unexpected rsv bits set: ${rsv}`];
    }
    if (!masked) return [CloseCode.ProtocolError, 'received unmasked frame from client'];
    if (opcode >= Opcode.Close) {
      if (opcode > Opcode.Pong) return [CloseCode.ProtocolError, `received unknown opcode ${opcode}`];
      return final && length <= 125 ? undefined : [CloseCode.ProtocolError, 'received malformed control frame'];
    }
    if (opcode === Opcode.Text) {
      return [CloseCode.UnsupportedData, 'unexpected frame type read (expected MessageBinary): MessageText'];
    }
    if (opcode > Opcode.Binary || (opcode === Opcode.Continuation) !== this.#inMessage) {
      return [CloseCode.ProtocolError, `received unexpected opcode ${opcode}`];
    }
    if (this.#messageBytes + length > this.#maxMessageBytes) {
      return [CloseCode.MessageTooBig, `read limited at ${this.#maxMessageBytes + 1} bytes`];
    }
    return undefined;
  }

  #payload(bytes: Buffer): void {
    this.#mask = unmask(bytes, this.#mask);
    this.#left -= bytes.length;
    this.#inFrame = this.#left > 0;
    if (this.#control === undefined) {
      this.#handlers.data(bytes);
      return;
    }
    this.#control = Buffer.concat([this.#control, bytes]);
    if (this.#left === 0) this.#endControl();
  }

  #endControl(): void {
    const payload = this.#control ?? Buffer.alloc(0);
    this.#control = undefined;
    if (this.#opcode === Opcode.Ping) this.#handlers.ping(payload);
    else if (this.#opcode === Opcode.Close) {
      this.#failed = true; // nothing may follow
      const code = payload.length < 2 ? CloseCode.NoStatus : payload.readUInt16BE(0);
      this.#handlers.close(code, payload.toString('utf8', 2));
    }
  }
}

/** XORs the bytes with the mask, four at a time where memory is aligned, and returns the mask for the byte after them. */
function unmask(bytes: Buffer, mask: number): number {
  if (mask === 0) return 0;
  const { length, byteOffset } = bytes;
  let rotated = mask;
  const unmaskTo = (from: number, to: number) => {
    for (let at = from; at < to; at++) {
      bytes[at] = (bytes[at] ?? 0) ^ (rotated & 0xff);
      rotated = (rotated >>> 8) | (rotated << 24);
    }
  };
  const aligned = Math.min(length, -byteOffset & 3);
  unmaskTo(0, aligned);
  const words = (length - aligned) >> 2;
  if (words > 0) {
    // Little-endian like the mask: so is every machine this runs on.
    const view = new Int32Array(bytes.buffer, byteOffset + aligned, words);
    for (let i = 0; i < words; i++) view[i] = (view[i] ?? 0) ^ rotated;
  }
  unmaskTo(aligned + words * 4, length);
  return rotated;
}

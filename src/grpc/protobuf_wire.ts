/**
 * Protobuf's wire format, as far as the data plane needs it: the few messages that wrap a payload are read and written in
 * place, without objects in between. Everything else goes through the generated code; tests prove both equal.
 */

/** Where reading stands in a buffer. One is reused for many messages, so that none is allocated per message. */
export class WireReader {
  buffer: Buffer = EMPTY;
  at = 0;
  end = 0;
  /** Field number and wire type of the last tag. */
  field = 0;
  wireType = 0;
  /** Bounds of the last length-delimited value. */
  valueStart = 0;
  valueEnd = 0;
  /** The last varint; exact up to 2^53. */
  varint = 0;

  reset(buffer: Buffer, start: number, end: number): this {
    this.buffer = buffer;
    this.at = start;
    this.end = end;
    return this;
  }

  /**
   * Reads the next field: its value is then in `varint`, or between `valueStart` and `valueEnd`. False at the end.
   * @throws MalformedMessage
   */
  next(): boolean {
    if (this.at >= this.end) {
      if (this.at > this.end) throw new MalformedMessage();
      return false;
    }
    const tag = this.#readVarint();
    this.field = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.field === 0) throw new MalformedMessage();
    switch (this.wireType) {
      case 0:
        this.varint = this.#readVarint();
        return true;
      case 1:
        return this.#take(8);
      case 2:
        return this.#take(this.#readVarint());
      case 5:
        return this.#take(4);
      default: // groups (3 and 4) went out of use before proto3; 6 and 7 never were
        throw new MalformedMessage();
    }
  }

  value(): Buffer {
    return this.buffer.subarray(this.valueStart, this.valueEnd);
  }

  text(): string {
    return this.buffer.toString('utf8', this.valueStart, this.valueEnd);
  }

  #take(length: number): true {
    this.valueStart = this.at;
    this.valueEnd = this.at + length;
    if (this.valueEnd > this.end) throw new MalformedMessage();
    this.at = this.valueEnd;
    return true;
  }

  #readVarint(): number {
    const { buffer, end } = this;
    let at = this.at;
    let byte = at < end ? buffer[at++]! : -1;
    if (byte >= 0 && byte < 0x80) {
      this.at = at;
      return byte;
    }
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 10; i++) {
      if (byte < 0) throw new MalformedMessage();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        this.at = at;
        return value;
      }
      factor *= 128;
      byte = at < end ? buffer[at++]! : -1;
    }
    throw new MalformedMessage();
  }
}

/** The bytes are no protobuf message. */
export class MalformedMessage extends Error {
  constructor() {
    super('proto: cannot parse invalid wire-format data');
    this.name = 'MalformedMessage';
  }
}

/** Bytes that `writeVarint` needs for `value`. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  if (value < 0x10000000) return 4;
  let size = 5;
  for (let rest = Math.floor(value / 0x800000000); rest > 0; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** Writes `value` (a non-negative safe integer) at `at` and returns the position behind it. */
export function writeVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    buffer[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  buffer[at++] = rest;
  return at;
}

/**
 * The bytes of field 1 in the message that stands in `payload` from `start` to `end`, which is how gRPC messages wrap data: a view.
 * @throws MalformedMessage
 */
export function wrappedData(payload: Buffer, start: number, end: number): Buffer {
  wrapper.reset(payload, start, end);
  let data = payload.subarray(end, end);
  while (wrapper.next()) if (wrapper.field === 1 && wrapper.wireType === 2) data = wrapper.value();
  return data;
}

/**
 * Writes a message from its end to its beginning: the length of what is nested is then known when its prefix is due, so
 * that nothing is measured twice. One buffer is used again and again; `finish` hands out a copy.
 */
export class BackwardsWriter {
  #buffer = Buffer.allocUnsafe(16 << 10);
  /** Bytes written since `start`. */
  written = 0;

  start(): void {
    this.written = 0;
  }

  byte(value: number): void {
    const at = this.#reserve(1);
    this.#buffer[at] = value;
  }

  bytes(value: Uint8Array): void {
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
  }

  /** @param value a non-negative safe integer */
  varint(value: number): void {
    const at = this.#reserve(varintSize(value));
    writeVarint(this.#buffer, at, value);
  }

  /** Tag, length and value of a bytes field. */
  field(tag: number, value: Uint8Array): void {
    this.bytes(value);
    this.varint(value.length);
    this.byte(tag);
  }

  /** Tag, length and value of a string field. */
  textField(tag: number, value: string): void {
    const length = Buffer.byteLength(value);
    const at = this.#reserve(length);
    this.#buffer.write(value, at);
    this.varint(length);
    this.byte(tag);
  }

  /** Makes one field of what has been written since `written` was `mark`. */
  wrap(tag: number, mark: number): void {
    this.varint(this.written - mark);
    this.byte(tag);
  }

  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(this.#buffer.length - this.written));
  }

  /** Makes room in front of what has been written; returns where it begins. */
  #reserve(bytes: number): number {
    this.written += bytes;
    if (this.written > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.written, this.#buffer.length * 2));
      this.#buffer.copy(larger, larger.length - this.#buffer.length);
      this.#buffer = larger;
    }
    return this.#buffer.length - this.written;
  }
}

const EMPTY = Buffer.alloc(0);

/** One serves all: a message is read to its end before anybody is called. */
const wrapper = new WireReader();

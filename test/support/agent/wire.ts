/**
 * The protobuf wire format, as much of it as tunnel messages need. Written out here, apart from the product's own codec, so
 * that the two cannot share a mistake; the control plane (Register, GetConfiguration) uses the generated code.
 */

const EMPTY = Buffer.alloc(0);

/** Collects fields; `finish` gives the message. */
export class Writer {
  #parts: Buffer[] = [];

  varint(field: number, value: number | bigint): this {
    this.#parts.push(varint(field << 3), varint(value));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(varint((field << 3) | 2), varint(value.length), value as Buffer);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  /** A `map<string, prototool.Values>`: one entry per name. */
  values(field: number, map: ReadonlyMap<string, readonly string[]>): this {
    for (const [name, list] of map) {
      const values = new Writer();
      for (const value of list) values.string(1, value);
      this.bytes(field, new Writer().string(1, name).bytes(2, values.finish()).finish());
    }
    return this;
  }

  finish(): Buffer {
    return this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
  }
}

function varint(value: number | bigint): Buffer {
  if (typeof value === 'number' && value >= 0 && value < 128) return Buffer.of(value);
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}

/** Walks over the fields of a message: `while (r.next())`, then `field` and one of the accessors. Throws on broken input. */
export class Reader {
  field = 0;
  readonly #buffer: Buffer;
  #at = 0;
  #wireType = 0;
  #number = 0n;
  #bytes: Buffer = EMPTY;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  next(): boolean {
    if (this.#at >= this.#buffer.length) return false;
    const key = Number(this.#varint());
    this.field = key >>> 3;
    this.#wireType = key & 7;
    if (this.#wireType === 0) this.#number = this.#varint();
    else if (this.#wireType === 2) this.#bytes = this.#take(Number(this.#varint()));
    else if (this.#wireType === 1) this.#bytes = this.#take(8);
    else if (this.#wireType === 5) this.#bytes = this.#take(4);
    else throw new Error('proto: cannot parse invalid wire-format data');
    return true;
  }

  /** The current field as a signed 64-bit number. */
  int64(): bigint {
    return BigInt.asIntN(64, this.#number);
  }

  bytes(): Buffer {
    return this.#bytes;
  }

  string(): string {
    return this.#bytes.toString('utf8');
  }

  /** One entry of a `map<string, prototool.Values>`, added to `map`. */
  valuesInto(map: Map<string, string[]>): void {
    const entry = new Reader(this.#bytes);
    let name = '';
    const list: string[] = [];
    while (entry.next()) {
      if (entry.field === 1) name = entry.string();
      else if (entry.field === 2) {
        const values = new Reader(entry.bytes());
        while (values.next()) if (values.field === 1) list.push(values.string());
      }
    }
    map.set(name, list);
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#buffer.length) throw new Error('proto: cannot parse invalid wire-format data');
    const out = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return out;
  }

  #varint(): bigint {
    let byte = this.#byte();
    if (byte < 128) return BigInt(byte);
    let value = BigInt(byte & 127);
    let shift = 7n;
    do {
      byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte > 127 && shift < 70n);
    return BigInt.asUintN(64, value);
  }

  #byte(): number {
    const byte = this.#buffer[this.#at++];
    if (byte === undefined) throw new Error('proto: cannot parse invalid wire-format data');
    return byte;
  }
}

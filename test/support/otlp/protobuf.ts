import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** The fields of one serialized message, by number: bytes for what has a length, numbers for the rest. */
export class Fields {
  readonly #bytes = new Map<number, Uint8Array[]>();
  readonly #numbers = new Map<number, bigint[]>();

  constructor(message: Uint8Array) {
    const reader = new BinaryReader(message);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      switch (type) {
        case WireType.LengthDelimited:
          add(this.#bytes, field, reader.bytes());
          break;
        case WireType.Varint:
          add(this.#numbers, field, BigInt(reader.uint64()));
          break;
        case WireType.Bit64:
          add(this.#numbers, field, BigInt(reader.fixed64()));
          break;
        case WireType.Bit32:
          add(this.#numbers, field, BigInt(reader.fixed32()));
          break;
        default:
          throw new Error(`field ${field} has wire type ${type}`);
      }
    }
  }

  bytes(field: number): Uint8Array {
    return this.#bytes.get(field)?.at(-1) ?? new Uint8Array();
  }

  text(field: number): string {
    return Buffer.from(this.bytes(field)).toString('utf8');
  }

  hex(field: number): string {
    return Buffer.from(this.bytes(field)).toString('hex');
  }

  number(field: number): bigint | undefined {
    return this.#numbers.get(field)?.at(-1);
  }

  has(field: number): boolean {
    return this.#bytes.has(field) || this.#numbers.has(field);
  }

  message(field: number): Fields {
    return new Fields(this.bytes(field));
  }

  messages(field: number): Fields[] {
    return (this.#bytes.get(field) ?? []).map((bytes) => new Fields(bytes));
  }
}

function add<T>(map: Map<number, T[]>, field: number, value: T): void {
  const values = map.get(field);
  if (values === undefined) map.set(field, [value]);
  else values.push(value);
}

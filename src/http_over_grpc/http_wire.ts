import { BackwardsWriter, varintSize, WireReader, writeVarint } from '../grpc/protobuf_wire.ts';

/**
 * gitlab.agent.grpctool.HttpRequest and HttpResponse, written and read in place (docs/protocol/http_over_grpc.md). Both are
 * one oneof with the same numbers.
 */
export const HttpPart = { header: 1, data: 2, trailer: 3, upgradeData: 4 } as const;

/** Names with their values, each name once. Header names are in Go's canonical case. */
export type ValueList = readonly (readonly [name: string, values: readonly string[]])[];

export interface RequestHead {
  readonly method: string;
  readonly headers: ValueList;
  /** Percent-decoded. */
  readonly path: string;
  readonly query: ValueList;
  /** A serialized google.protobuf.Any; undefined for none. */
  readonly extra: Uint8Array | undefined;
  /** -1: there is a body of unknown length; 0: there is none. Always sent, because agents tell 0 from absent. */
  readonly contentLength: number;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: ValueList;
}

const TAG = { bytes1: 0x0a, bytes2: 0x12, bytes3: 0x1a, bytes4: 0x22, varint3: 0x18 } as const;

const writer = new BackwardsWriter();
const wire = new WireReader();
const entryWire = new WireReader();
const valuesWire = new WireReader();

/** HttpRequest{header}. */
export function encodeRequestHeader(head: RequestHead): Buffer {
  writer.start();
  if (head.contentLength < 0) writer.bytes(MINUS_ONE);
  else writer.varint(head.contentLength);
  writer.byte(TAG.varint3);
  if (head.extra !== undefined) writer.field(TAG.bytes2, head.extra);
  const request = writer.written;
  writeValueList(TAG.bytes4, head.query);
  writer.textField(TAG.bytes3, head.path);
  writeValueList(TAG.bytes2, head.headers);
  writer.textField(TAG.bytes1, head.method);
  writer.wrap(TAG.bytes1, request);
  writer.wrap(TAG.bytes1, 0);
  return writer.finish();
}

/** HttpRequest{data} or, after an upgrade, HttpRequest{upgradeData}. */
export function encodeData(part: typeof HttpPart.data | typeof HttpPart.upgradeData, data: Uint8Array): Buffer {
  const inner = 1 + varintSize(data.length) + data.length;
  const message = Buffer.allocUnsafe(1 + varintSize(inner) + inner);
  message[0] = part === HttpPart.data ? TAG.bytes2 : TAG.bytes4;
  let at = writeVarint(message, 1, inner);
  message[at++] = TAG.bytes1;
  at = writeVarint(message, at, data.length);
  message.set(data, at);
  return message;
}

/** HttpRequest{trailer}: the end of the body. */
export const REQUEST_TRAILER = Buffer.from([TAG.bytes3, 0]);

/** -1 as protobuf writes it: ten bytes of two's complement. */
const MINUS_ONE = Buffer.from('ffffffffffffffffff01', 'hex');

function writeValueList(tag: number, list: ValueList): void {
  for (let i = list.length - 1; i >= 0; i--) {
    const [name, values] = list[i]!;
    const entry = writer.written;
    for (let j = values.length - 1; j >= 0; j--) writer.textField(TAG.bytes1, values[j]!);
    writer.wrap(TAG.bytes2, entry);
    writer.textField(TAG.bytes1, name);
    writer.wrap(tag, entry);
  }
}

/** HttpResponse.Header. Undefined if its `response` is missing. @throws MalformedMessage */
export function decodeResponseHeader(payload: Buffer, start: number, end: number): ResponseHead | undefined {
  wire.reset(payload, start, end);
  let head: ResponseHead | undefined;
  while (wire.next())
    if (wire.field === 1 && wire.wireType === 2) head = decodeResponse(payload, wire.valueStart, wire.valueEnd);
  return head;
}

function decodeResponse(payload: Buffer, start: number, end: number): ResponseHead {
  let status = 0;
  const headers: [string, string[]][] = [];
  entryWire.reset(payload, start, end);
  while (entryWire.next()) {
    if (entryWire.field === 1 && entryWire.wireType === 0) status = entryWire.varint;
    else if (entryWire.field === 3 && entryWire.wireType === 2)
      headers.push(decodeEntry(payload, entryWire.valueStart, entryWire.valueEnd));
  }
  return { status, headers };
}

function decodeEntry(payload: Buffer, start: number, end: number): [string, string[]] {
  let name = '';
  const values: string[] = [];
  valuesWire.reset(payload, start, end);
  let valuesStart = end;
  let valuesEnd = end;
  while (valuesWire.next()) {
    if (valuesWire.wireType !== 2) continue;
    if (valuesWire.field === 1) name = valuesWire.text();
    else if (valuesWire.field === 2) {
      valuesStart = valuesWire.valueStart;
      valuesEnd = valuesWire.valueEnd;
    }
  }
  valuesWire.reset(payload, valuesStart, valuesEnd);
  while (valuesWire.next()) if (valuesWire.field === 1 && valuesWire.wireType === 2) values.push(valuesWire.text());
  return [name, values];
}

// Messages that are read and written in place, beside the generated code.
import assert from 'node:assert/strict';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { HttpRequestSchema, HttpResponseSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import {
  ConnectResponseSchema,
  DescriptorSchema,
  HeaderSchema,
} from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { OneofReader } from '../../src/grpc/oneof_reader.ts';
import {
  BackwardsWriter,
  MalformedMessage,
  varintSize,
  WireReader,
  wrappedData,
  writeVarint,
} from '../../src/grpc/protobuf_wire.ts';
import { decodeResponseHeader, encodeData, encodeRequestHeader, HttpPart } from '../../src/http_over_grpc/http_wire.ts';
import { AppError } from '../../src/runtime/app_error.ts';
import { decodeDescriptor, decodeError, decodeMetadata } from '../../src/tunnel/agent_messages.ts';
import { messageFrameSize, writeMessageFrame } from '../../src/tunnel/connect_wire.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, damaged, damages } from './lib/inputs.ts';

/** Strings that protobuf can carry. Lone surrogates cannot be. */
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const name = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'toString', '', 'Content-Length'));
const lists = fc.uniqueArray(fc.tuple(name, fc.array(text, { maxLength: 3 })), {
  maxLength: 5,
  selector: ([key]) => key,
});

/** As the generated code has maps; `__proto__` must be a key like any other. */
function map(list: readonly (readonly [string, readonly string[]])[]): Record<string, { value: string[] }> {
  const entries: Record<string, { value: string[] }> = {};
  for (const [key, value] of list)
    Object.defineProperty(entries, key, { value: { value: [...value] }, enumerable: true, configurable: true });
  return entries;
}

fuzz(
  'request headers are what the generated code reads as the same',
  fc.record({
    method: text,
    headers: lists,
    path: text,
    query: lists,
    extra: fc.option(fc.record({ typeUrl: text, value: bytes(50) }), { nil: undefined }),
    contentLength: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
  }),
  ({ extra, ...head }) => {
    const any = extra && toBinary(AnySchema, create(AnySchema, extra));
    const { message } = fromBinary(HttpRequestSchema, encodeRequestHeader({ ...head, extra: any }));
    assert.equal(message.case, 'header');
    const {
      request,
      contentLength,
      extra: got,
    } = message.value as Extract<typeof message, { case: 'header' }>['value'];
    assert.equal(request?.method, head.method);
    assert.equal(request?.urlPath, head.path);
    assert.equal(contentLength, BigInt(head.contentLength));
    assert.deepEqual(got && Buffer.from(got.value), extra && Buffer.from(extra.value));
    for (const [ours, theirs] of [
      [head.headers, request?.header],
      [head.query, request?.query],
    ] as const) {
      // The generated code makes objects of maps: whatever it does to `__proto__`, we have written it.
      const usual = ours.filter(([key]) => key !== '__proto__');
      for (const [key, values] of usual) assert.deepEqual(theirs?.[key]?.value, values);
    }
  },
);

fuzz('data is written as the generated code does', fc.tuple(bytes(40_000), fc.boolean()), ([data, upgrade]) => {
  const [part, which] = upgrade ? [HttpPart.upgradeData, 'upgradeData' as const] : [HttpPart.data, 'data' as const];
  const theirs = toBinary(HttpRequestSchema, create(HttpRequestSchema, { message: { case: which, value: { data } } }));
  const ours = encodeData(part, data);
  // proto3 leaves out what is empty; to write it all the same means the same.
  if (data.length > 0) assert.deepEqual(ours, Buffer.from(theirs));
  assert.deepEqual(fromBinary(HttpRequestSchema, ours).message.case, which);
  const frame = Buffer.alloc(messageFrameSize(ours.length));
  assert.equal(writeMessageFrame(frame, 0, ours), frame.length);
  const { msg } = fromBinary(ConnectResponseSchema, frame.subarray(5));
  assert.deepEqual(msg.case === 'message' && Buffer.from(msg.value.data), ours);
});

const response = fc.oneof(
  fc.record({ statusCode: fc.integer(), status: text, header: lists }).map(({ header, ...rest }) => ({
    case: 'header' as const,
    value: { response: { ...rest, header: map(header) } },
  })),
  bytes(200).map((data) => ({ case: 'data' as const, value: { data } })),
  bytes(200).map((data) => ({ case: 'upgradeData' as const, value: { data } })),
  fc.constant({ case: 'trailer' as const, value: {} }),
);

const part = new OneofReader();

fuzz(
  'responses, damaged or not, are read as the generated code reads them',
  fc.tuple(response, damages(3)),
  ([message, damage]) => {
    const whole = toBinary(HttpResponseSchema, create(HttpResponseSchema, { message }));
    const payload = damaged(whole, damage);
    let theirs: ReturnType<typeof readByGeneratedCode>;
    try {
      theirs = readByGeneratedCode(payload);
    } catch {
      theirs = undefined;
    }
    let ours: { which: number; head?: ReturnType<typeof decodeResponseHeader>; data?: Buffer };
    try {
      part.read(payload, HttpPart.upgradeData);
      ours = { which: part.field };
      if (part.field === HttpPart.header) ours.head = decodeResponseHeader(payload, part.start, part.end);
      else if (part.field === HttpPart.data || part.field === HttpPart.upgradeData)
        ours.data = wrappedData(payload, part.start, part.end);
    } catch (error) {
      assert.ok(error instanceof MalformedMessage, String(error));
      assert.ok(damage.length > 0, 'a whole message is read');
      return;
    }
    if (theirs === undefined) return;
    assert.equal(ours.which, theirs.case === undefined ? 0 : HttpPart[theirs.case]);
    if (theirs.case === 'data' || theirs.case === 'upgradeData')
      assert.deepEqual(ours.data, Buffer.from(theirs.value.data));
    if (theirs.case !== 'header' || theirs.value.response === undefined) return;
    const { statusCode, header } = theirs.value.response;
    assert.ok(ours.head !== undefined);
    // What HTTP has no place for is refused either way.
    if (statusCode >= 0 && statusCode < 1000 && ours.head.status < 1000) assert.equal(ours.head.status, statusCode);
    else assert.ok(ours.head.status > 999);
    for (const [key, values] of ours.head.headers)
      if (key !== '__proto__') assert.deepEqual(header[key]?.value, values, key);
  },
);

/**
 * Undefined if the message would be written in another way: parts that come twice are merged by one and replaced by the other,
 * and the generated code takes wire types that are not the field's.
 */
function readByGeneratedCode(payload: Buffer) {
  const read = fromBinary(HttpResponseSchema, payload);
  return payload.equals(toBinary(HttpResponseSchema, read)) ? read.message : undefined;
}

fuzz('any bytes are a message or malformed', bytes(100), (payload) => {
  const reader = new WireReader();
  try {
    for (reader.reset(payload, 0, payload.length); reader.next(); ) {
      assert.ok(reader.field > 0);
      if (reader.wireType === 2) assert.ok(reader.valueStart <= reader.valueEnd && reader.valueEnd <= payload.length);
    }
    assert.equal(reader.at, payload.length);
  } catch (error) {
    assert.ok(error instanceof MalformedMessage, String(error));
  }
});

fuzz(
  'what an agent says of itself is read or refused',
  fc.tuple(lists, damages(3), bytes(60)),
  ([list, damage, garbage]) => {
    const services = list.map(([service, methods]) => ({
      name: service,
      methods: methods.map((one) => ({ name: one })),
    }));
    const descriptor = toBinary(DescriptorSchema, create(DescriptorSchema, { agentDescriptor: { services } }));
    const header = toBinary(
      HeaderSchema,
      create(HeaderSchema, { meta: map(list.filter(([key]) => key !== '__proto__')) }),
    );
    for (const payload of [damaged(descriptor, damage), damaged(header, damage), garbage])
      for (const decode of [decodeDescriptor, decodeMetadata, decodeError]) {
        try {
          decode(payload);
        } catch (error) {
          assert.ok(error instanceof MalformedMessage || error instanceof AppError, String(error));
        }
      }
  },
);

fuzz('varints are as long as they say', fc.maxSafeNat(), (value) => {
  const buffer = Buffer.alloc(12);
  assert.equal(writeVarint(buffer, 0, value), varintSize(value));
  const writer = new BackwardsWriter();
  writer.start();
  writer.varint(value);
  assert.deepEqual(writer.finish(), buffer.subarray(0, varintSize(value)));
});

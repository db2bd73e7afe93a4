import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { seededRandom } from '../../test/support/doubles/seeded_random.ts';
import { HttpRequestSchema, HttpResponseSchema } from '../gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { OneofReader } from '../grpc/oneof_reader.ts';
import { MalformedMessage, wrappedData } from '../grpc/protobuf_wire.ts';
import {
  decodeResponseHeader,
  encodeData,
  encodeRequestHeader,
  HttpPart,
  REQUEST_TRAILER,
  type RequestHead,
  type ValueList,
} from './http_wire.ts';

const random = seededRandom(1);

function text(): string {
  const alphabet = ['a', 'Z', '-', '/', ' ', '%2F', 'ü', '€', '😀', 'x'.repeat(130), '\0'];
  return Array.from({ length: random.below(8) }, () => alphabet[random.below(alphabet.length)]).join('');
}

function valueList(): ValueList {
  const names = new Set(Array.from({ length: random.below(6) }, text));
  return [...names].map((name) => [name, Array.from({ length: random.below(4) }, text)]);
}

/** As protobuf-es wants maps. */
function map(list: ValueList): Record<string, { value: string[] }> {
  return Object.fromEntries(list.map(([name, value]) => [name, { value: [...value] }]));
}

function generatedRequest(message: MessageInitShape<typeof HttpRequestSchema>['message']): Buffer {
  return Buffer.from(toBinary(HttpRequestSchema, create(HttpRequestSchema, message && { message })));
}

function generatedResponse(message: MessageInitShape<typeof HttpResponseSchema>['message']): Buffer {
  return Buffer.from(toBinary(HttpResponseSchema, create(HttpResponseSchema, message && { message })));
}

test('request headers are what the generated code reads as the same', () => {
  const lengths = [-1, 0, 1, 127, 128, 1 << 20, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER];
  for (let i = 0; i < 300; i++) {
    const any = { typeUrl: `type.googleapis.com/${text()}`, value: random.bytes(random.below(200)) };
    const head: RequestHead = {
      method: text(),
      headers: valueList(),
      path: text(),
      query: valueList(),
      extra: random.below(2) === 0 ? undefined : toBinary(AnySchema, create(AnySchema, any)),
      contentLength: lengths[i % lengths.length]!,
    };
    const { method, headers, path: urlPath, query } = head;
    const expected = create(HttpRequestSchema, {
      message: {
        case: 'header',
        value: {
          request: { method, header: map(headers), urlPath, query: map(query) },
          ...(head.extra === undefined ? {} : { extra: any }),
          contentLength: BigInt(head.contentLength),
        },
      },
    });
    assert.deepEqual(fromBinary(HttpRequestSchema, encodeRequestHeader(head)), expected);
  }
});

test('data and trailer are byte for byte what the generated code writes', () => {
  for (const size of [1, 127, 128, 16_384, 32_768]) {
    const data = random.bytes(size);
    assert.deepEqual(encodeData(HttpPart.data, data), generatedRequest({ case: 'data', value: { data } }));
    assert.deepEqual(
      encodeData(HttpPart.upgradeData, data),
      generatedRequest({ case: 'upgradeData', value: { data } }),
    );
  }
  assert.deepEqual(REQUEST_TRAILER, generatedRequest({ case: 'trailer', value: {} }));
});

test('response headers that the generated code writes are read as the same', () => {
  const part = new OneofReader();
  for (let i = 0; i < 300; i++) {
    const headers = valueList();
    const statusCode = [0, 1, 101, 200, 404, 599][i % 6]!;
    const payload = generatedResponse({
      case: 'header',
      value: { response: { statusCode, status: text(), header: map(headers) } },
    });
    part.read(payload, HttpPart.upgradeData);
    assert.equal(part.field, HttpPart.header);
    const head = decodeResponseHeader(payload, part.start, part.end)!;
    assert.equal(head.status, statusCode);
    assert.deepEqual(Object.fromEntries(head.headers.map(([name, value]) => [name, { value }])), map(headers));
  }
});

test('data and upgrade data that the generated code writes are read as the same', () => {
  const part = new OneofReader();
  for (const which of ['data', 'upgradeData'] as const) {
    for (const size of [0, 1, 127, 128, 32_768]) {
      const data = random.bytes(size);
      const payload = generatedResponse({ case: which, value: { data } });
      part.read(payload, HttpPart.upgradeData);
      assert.equal(part.field, HttpPart[which]);
      assert.deepEqual(wrappedData(payload, part.start, part.end), data);
    }
  }
  part.read(generatedResponse({ case: 'trailer', value: {} }), HttpPart.upgradeData);
  assert.equal(part.field, HttpPart.trailer);
});

test('the last member of the oneof counts, unknown fields do not', () => {
  const part = new OneofReader();
  const header = generatedResponse({ case: 'header', value: { response: { statusCode: 200 } } });
  const data = generatedResponse({ case: 'data', value: { data: Buffer.from('x') } });
  const unknown = Buffer.from('2a03abcdef300a3d00000000', 'hex'); // field 5 as bytes, 6 as a varint, 7 as four bytes
  const payload = Buffer.concat([header, data, unknown]);
  part.read(payload, HttpPart.upgradeData);
  assert.equal(part.field, HttpPart.data);
  assert.deepEqual(wrappedData(payload, part.start, part.end), Buffer.from('x'));
  part.read(unknown, HttpPart.upgradeData);
  assert.equal(part.field, 0);
  part.read(Buffer.alloc(0), HttpPart.upgradeData);
  assert.equal(part.field, 0);
});

test('unknown fields inside the parts change nothing', () => {
  const unknown = '7a01ff' + '7801'; // field 15, as bytes and as a varint
  const entry = `0a0141${unknown}1206${'0a0162'}7a0163`; // "A": ["b"]
  const response = `08c801${unknown}1a${hexLength(entry)}${entry}`;
  const header = `0a${hexLength(response)}${response}${unknown}`;
  const bytes = Buffer.from(header, 'hex');
  assert.deepEqual(decodeResponseHeader(bytes, 0, bytes.length), { status: 200, headers: [['A', ['b']]] });
  const data = Buffer.from(`${unknown}0a0178${unknown}`, 'hex');
  assert.deepEqual(wrappedData(data, 0, data.length), Buffer.from('x'));
});

test('a header without a response has none', () => {
  assert.equal(decodeResponseHeader(Buffer.alloc(0), 0, 0), undefined);
});

test('damaged messages are read, or refused as malformed, and nothing else', () => {
  const part = new OneofReader();
  const whole = generatedResponse({
    case: 'header',
    value: {
      response: {
        statusCode: 200,
        status: '200 OK',
        header: map([
          ['A', ['b', 'c']],
          ['D', ['e']],
        ]),
      },
    },
  });
  let refused = 0;
  for (let i = 0; i < 10_000; i++) {
    const payload = Buffer.from(whole.subarray(0, random.below(4) === 0 ? random.below(whole.length) : whole.length));
    for (let n = random.below(3); n >= 0; n--)
      if (payload.length > 0) payload[random.below(payload.length)] = random.below(256);
    try {
      part.read(payload, HttpPart.upgradeData);
      if (part.field === HttpPart.header) decodeResponseHeader(payload, part.start, part.end);
      else if (part.field !== 0) wrappedData(payload, part.start, part.end);
    } catch (error) {
      assert.ok(error instanceof MalformedMessage, `${payload.toString('hex')}: ${error}`);
      refused++;
    }
  }
  assert.ok(refused > 1000, `${refused} were refused`);
});

function hexLength(hex: string): string {
  return (hex.length / 2).toString(16).padStart(2, '0');
}

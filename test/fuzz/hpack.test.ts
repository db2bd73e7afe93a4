// Header blocks of HTTP/2: what any peer may send before anything is known of it.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type HeaderListLimit, HpackDecoder, HpackError } from '../../src/http2/hpack/decoder.ts';
import { encodeHeaders } from '../../src/http2/hpack/encoder.ts';
import { type FieldManner, HpackPeer } from '../support/doubles/hpack_peer.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, damaged, damages, latin1 } from './lib/inputs.ts';

const NO_LIMIT: HeaderListLimit = { bytes: Number.MAX_SAFE_INTEGER, pairs: Number.MAX_SAFE_INTEGER };

interface Field {
  readonly name: string;
  readonly value: string;
  readonly manner: FieldManner;
}

const sizeOf = (list: readonly string[]) => list.join('').length + (list.length / 2) * 32;

/** Bytes that begin fields more often than chance would have it. */
const block = fc
  .array(
    fc.oneof(
      fc.constantFrom(0x80, 0x82, 0xbe, 0xbf, 0xff, 0x40, 0x41, 0x7f, 0x00, 0x0f, 0x10, 0x20, 0x3f, 0x01, 0x81, 0x84),
      fc.integer({ min: 0, max: 255 }),
    ),
    { maxLength: 120 },
  )
  .map((list) => Buffer.from(list));

/** Names and values that come again, so that tables are of use, and some that do not fit into one. */
const name = fc.oneof(fc.constantFrom('', 'a', 'te', ':path', 'content-type', 'x-request-id'), latin1(20));
const value = fc.oneof(
  fc.constantFrom('', '/', 'trailers', 'application/grpc'),
  latin1(),
  fc.integer({ min: 0, max: 5000 }).map((length) => 'v'.repeat(length)),
);
const manner: fc.Arbitrary<FieldManner> = fc.record({
  as: fc.constantFrom('indexed', 'indexed', 'plain', 'never'),
  coded: fc.boolean(),
  refer: fc.nat({ max: 3 }),
});
const fields: fc.Arbitrary<Field[]> = fc.array(fc.record({ name, value, manner }), { maxLength: 8 });
const sizes = fc.array(fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 8192 })), { maxLength: 2 });
const sent = fc.array(fc.record({ sizes, fields }), { maxLength: 8 });

/** What a peer sends, block by block, and what it means by it. */
function send(peer: HpackPeer, { sizes, fields }: { sizes: number[]; fields: Field[] }) {
  const parts = sizes.map((size) => peer.resize(size));
  for (const { name, value, manner } of fields) parts.push(peer.field(name, value, manner));
  return { block: Buffer.concat(parts), list: fields.flatMap(({ name, value }) => [name, value]) };
}

/** A list, nothing, or the error of a block that is none; anything else that is thrown fails the test. */
function outcome(decoder: HpackDecoder, block: Buffer, limit: HeaderListLimit): string[] | undefined | 'error' {
  try {
    return decoder.decode(block, limit);
  } catch (error) {
    if (error instanceof HpackError) return 'error';
    throw error;
  }
}

fuzz(
  'any bytes are header blocks or an HpackError, whatever the limit',
  fc.record({
    blocks: fc.array(fc.oneof(block, bytes()), { maxLength: 6 }),
    table: fc.constantFrom(0, 100, 4096, 65536),
    limit: fc.record({ bytes: fc.nat({ max: 2000 }), pairs: fc.nat({ max: 30 }) }),
  }),
  ({ blocks, table, limit }) => {
    const unlimited = new HpackDecoder(table);
    const limited = new HpackDecoder(table);
    for (const each of blocks) {
      const all = outcome(unlimited, each, NO_LIMIT);
      assert.ok(all !== undefined);
      const fits = all === 'error' || (sizeOf(all) <= limit.bytes && all.length / 2 <= limit.pairs);
      assert.deepEqual(outcome(limited, each, limit), fits ? all : undefined);
      if (all === 'error') return;
    }
  },
);

fuzz('whatever a peer sends, and however, is read as it was meant', sent, (blocks) => {
  const peer = new HpackPeer();
  const decoder = new HpackDecoder(8192);
  for (const each of blocks) {
    const { block, list } = send(peer, each);
    assert.deepEqual(decoder.decode(block, NO_LIMIT), list);
    const recital = peer.recital();
    assert.deepEqual(decoder.decode(recital.block, NO_LIMIT), recital.list);
  }
});

fuzz('damaged header blocks are others, or an HpackError', fc.tuple(sent, damages()), ([blocks, damage]) => {
  const peer = new HpackPeer();
  const decoder = new HpackDecoder(8192);
  for (const each of blocks) {
    const list = outcome(decoder, damaged(send(peer, each).block, damage), { bytes: 16384, pairs: 100 });
    if (list === 'error') return;
    assert.ok(list === undefined || sizeOf(list) <= 16384);
  }
});

fuzz(
  'what we write is read as what it was',
  fc.array(fc.dictionary(name, fc.oneof(value, fc.integer(), fc.array(latin1(), { maxLength: 3 })), { maxKeys: 12 }), {
    maxLength: 4,
  }),
  (list) => {
    const decoder = new HpackDecoder(0);
    for (const headers of list) {
      const fields = Object.entries(headers).flatMap(([name, value]) =>
        [value].flat().map((each) => [name, String(each)] as const),
      );
      const ordered = [
        ...fields.filter(([name]) => name.startsWith(':')),
        ...fields.filter(([name]) => !name.startsWith(':')),
      ];
      assert.deepEqual(decoder.decode(encodeHeaders(headers), NO_LIMIT), ordered.flat());
    }
  },
);

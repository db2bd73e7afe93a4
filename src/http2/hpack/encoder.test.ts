import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HpackDecoder } from './decoder.ts';
import { encodeHeaders, type HeaderValue } from './encoder.ts';
import { STATIC_TABLE, STATIC_TABLE_LENGTH } from './static_table.ts';

const encoded = (headers: Record<string, HeaderValue>) => encodeHeaders(headers).toString('latin1');
const decoded = (headers: Record<string, HeaderValue>) =>
  new HpackDecoder(0).decode(encodeHeaders(headers), { bytes: 1 << 30, pairs: 1 << 20 });

test('an entry of the static table is one byte', () => {
  assert.equal(encoded({ ':status': 200 }), '\x88');
  assert.equal(encoded({ ':status': '404' }), '\x8d');
  assert.equal(encoded({ ':method': 'POST', ':scheme': 'http', ':path': '/' }), '\x83\x86\x84');
  assert.equal(encoded({ 'accept-encoding': 'gzip, deflate' }), '\x90');
});

test('a name of the static table is one byte, or two', () => {
  assert.equal(encoded({ ':status': 201 }), '\x08\x03201');
  assert.equal(encoded({ ':path': '/a' }), '\x04\x02/a');
  assert.equal(encoded({ ':authority': 'x' }), '\x01\x01x');
  assert.equal(encoded({ 'content-type': 'application/grpc' }), '\x0f\x10\x10application/grpc');
  assert.equal(encoded({ 'accept-charset': '' }), '\x0f\x00\x00');
});

test('every entry of the static table is used, and read as what it is', () => {
  for (let index = 1; index <= STATIC_TABLE_LENGTH; index++) {
    const [name, value] = [STATIC_TABLE[index * 2]!, STATIC_TABLE[index * 2 + 1]!];
    if (value !== '') assert.equal(encoded({ [name]: value }), String.fromCharCode(0x80 | index));
    assert.deepEqual(decoded({ [name]: value }), [name, value]);
    assert.ok(!encoded({ [name]: 'another' }).includes(name));
    assert.deepEqual(decoded({ [name]: 'another' }), [name, 'another']);
  }
});

test('other fields are literals, without indexing', () => {
  assert.equal(encoded({ 'grpc-status': 0 }), '\x00\x0bgrpc-status\x010');
  assert.equal(encoded({ 'grpc-status': 0, 'grpc-message': '' }), '\x00\x0bgrpc-status\x010\x00\x0cgrpc-message\x00');
});

test('what is secret is never to be indexed', () => {
  assert.equal(encoded({ authorization: 'Bearer x' }), '\x1f\x08\x08Bearer x');
  assert.equal(encoded({ cookie: 'a=b' }), '\x1f\x11\x03a=b');
  for (const name of ['authorization', 'proxy-authorization', 'cookie', 'set-cookie']) {
    assert.equal(encodeHeaders({ [name]: 'v' })[0]! & 0xf0, 0x10);
    assert.deepEqual(decoded({ [name]: 'v' }), [name, 'v']);
  }
});

test('a list is a field for each value, nothing is none', () => {
  assert.deepEqual(decoded({ 'set-cookie': ['a=b', 'c=d'], x: undefined, y: [], z: ['1'] }), [
    'set-cookie',
    'a=b',
    'set-cookie',
    'c=d',
    'z',
    '1',
  ]);
  assert.equal(encodeHeaders({}).length, 0);
});

test('pseudo-header fields come first, also when a name looks like a number', () => {
  const headers = { te: 'trailers', 8: 'eight', ':path': '/x', ':status': 200 };
  assert.deepEqual(decoded(headers), [':path', '/x', ':status', '200', '8', 'eight', 'te', 'trailers']);
});

test('strings of every length around where their writing changes', () => {
  for (const length of [0, 1, 31, 32, 33, 126, 127, 128, 254, 255, 256, 16383, 16384, 20000, 1 << 20]) {
    const value = 'caf\xe9\xff\x80'.repeat(Math.ceil(length / 7)).slice(0, length);
    const name = 'n'.repeat(Math.min(Math.max(1, length), 20000));
    assert.deepEqual(decoded({ ':status': 200, [name]: value, last: 'x' }), [
      ':status',
      '200',
      name,
      value,
      'last',
      'x',
    ]);
  }
});

test('blocks around the size of the first buffer', () => {
  for (let length = 16384 - 40; length <= 16384; length++) {
    const value = 'v'.repeat(length);
    assert.deepEqual(decoded({ name: value, x: '1' }), ['name', value, 'x', '1']);
    assert.deepEqual(decoded({ [value]: '1' }), [value, '1']);
    assert.deepEqual(decoded({ a: value, ':status': 200 }), [':status', '200', 'a', value]);
  }
});

test('many fields, more than the first buffer holds; a small block after a large one', () => {
  const headers = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`name-${i}`, `value-${i}`]));
  assert.deepEqual(decoded(headers), Object.entries(headers).flat());
  assert.equal(encoded({ ':status': 200 }), '\x88');
});

test('a block is its own: the next one does not change it', () => {
  const first = encodeHeaders({ a: '1' });
  const second = encodeHeaders({ b: '2' });
  assert.equal(first.toString('latin1'), '\x00\x01a\x011');
  assert.equal(second.toString('latin1'), '\x00\x01b\x012');
});

import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { HpackPeer, hpackInteger, hpackString } from '../../../test/support/doubles/hpack_peer.ts';
import { type HeaderListLimit, HpackDecoder, HpackError } from './decoder.ts';

const USUAL = { bytes: 1 << 20, pairs: 2000 };
const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const fails = (block: Buffer, decoder = new HpackDecoder()) => {
  assert.throws(() => decoder.decode(block, USUAL), HpackError, block.toString('hex'));
};

/** The dynamic table, newest first, as anybody can see it: all entries that may be referred to. */
function tableOf(decoder: HpackDecoder): string[] {
  const list: string[] = [];
  for (let index = 62; ; index++) {
    try {
      list.push(...decoder.decode(hpackInteger(0x80, 7, index), USUAL)!);
    } catch {
      return list;
    }
  }
}

interface Example {
  readonly block: string;
  readonly list: string;
  readonly table: string;
}

/** Fields as RFC 7541 shows them, a line each. */
const fields = (text: string) =>
  text
    .trim()
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => /^\s*(:?[^:]+): (.*)$/.exec(line)!.slice(1));

function follow(decoder: HpackDecoder, examples: readonly Example[]): void {
  for (const { block, list, table } of examples) {
    assert.deepEqual(decoder.decode(hex(block), USUAL), fields(list));
    assert.deepEqual(tableOf(decoder), fields(table));
  }
}

test('RFC 7541, C.2: the four kinds of fields', () => {
  const custom = 'custom-key: custom-header';
  follow(new HpackDecoder(), [
    { block: '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', list: custom, table: custom },
  ]);
  follow(new HpackDecoder(), [{ block: '040c 2f73 616d 706c 652f 7061 7468', list: ':path: /sample/path', table: '' }]);
  follow(new HpackDecoder(), [
    { block: '1008 7061 7373 776f 7264 0673 6563 7265 74', list: 'password: secret', table: '' },
  ]);
  follow(new HpackDecoder(), [{ block: '82', list: ':method: GET', table: '' }]);
});

const requests = (blocks: readonly [string, string, string]): Example[] => {
  const pseudo = (scheme: string, path: string) => `
    :method: GET
    :scheme: ${scheme}
    :path: ${path}
    :authority: www.example.com`;
  const tables = [
    ':authority: www.example.com',
    'cache-control: no-cache\n:authority: www.example.com',
    'custom-key: custom-value\ncache-control: no-cache\n:authority: www.example.com',
  ];
  const lists = [
    pseudo('http', '/'),
    `${pseudo('http', '/')}\ncache-control: no-cache`,
    `${pseudo('https', '/index.html')}\ncustom-key: custom-value`,
  ];
  return blocks.map((block, i) => ({ block, list: lists[i]!, table: tables[i]! }));
};

test('RFC 7541, C.3: requests without Huffman code', () => {
  follow(
    new HpackDecoder(),
    requests([
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ]),
  );
});

test('RFC 7541, C.4: requests with Huffman code', () => {
  follow(
    new HpackDecoder(),
    requests([
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ]),
  );
});

const responses = (blocks: readonly [string, string, string]): Example[] => {
  const first = 'date: Mon, 21 Oct 2013 20:13:21 GMT';
  const second = 'date: Mon, 21 Oct 2013 20:13:22 GMT';
  const location = 'location: https://www.example.com';
  const cookie = 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
  return [
    {
      block: blocks[0],
      list: `:status: 302\ncache-control: private\n${first}\n${location}`,
      table: `${location}\n${first}\ncache-control: private\n:status: 302`,
    },
    {
      block: blocks[1],
      list: `:status: 307\ncache-control: private\n${first}\n${location}`,
      table: `:status: 307\n${location}\n${first}\ncache-control: private`,
    },
    {
      block: blocks[2],
      list: `:status: 200\ncache-control: private\n${second}\n${location}\ncontent-encoding: gzip\n${cookie}`,
      table: `${cookie}\ncontent-encoding: gzip\n${second}`,
    },
  ];
};

/** With the table of 256 bytes that C.5 and C.6 have; on a connection of HTTP/2 that is announced. */
function smallDecoder(): HpackDecoder {
  const decoder = new HpackDecoder(256);
  assert.deepEqual(decoder.decode(hex('3fe101'), USUAL), []);
  return decoder;
}

test('RFC 7541, C.5: responses without Huffman code, and a table that overflows', () => {
  follow(
    smallDecoder(),
    responses([
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e
       1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      '4803 3330 37c1 c0bf',
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d
       4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572
       7369 6f6e 3d31`,
    ]),
  );
});

test('RFC 7541, C.6: responses with Huffman code, and a table that overflows', () => {
  follow(
    smallDecoder(),
    responses([
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b
       97c8 e9ae 82ae 43d3`,
      '4883 640e ffc1 c0bf',
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf
       cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ]),
  );
});

test('what the encoder of grpc-go sends: the first request of a connection, its others, and some with a time limit', () => {
  // Made by golang.org/x/net/http2/hpack 0.57.0.
  const decoder = new HpackDecoder();
  const usual = `
    :method: POST
    :scheme: http
    :path: /gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect
    :authority: kas.example.com:8150
    content-type: application/grpc
    user-agent: agentk/v17.9.0/0a8f3e2 grpc-go/1.71.0
    te: trailers
    grpc-accept-encoding: gzip
    authorization: Bearer glagent-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNO
    gitlab-agent-type: agentk`;
  const limited = (i: number) => `${usual}
    grpc-timeout: 1999${i}87u
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e470${i}-00f067aa0ba902b7-01`;
  const blocks = [
    `838645a762632681c6b8e62d495ec2f72d882c49b6aa8b42f65645f697b96c4177db5545a18bc7aaa2913f418fea342e5f23a6ba0ab90f4dc7
     82d83f5f8b1d75d0620d263d4c4d65647a9b1cc5a93d58ee17577d703001bd2b25129359591698ec057742b83f40027465864d833505b11f
     408e9acac8b0c842d6958b510f21aa9b839bd9ab57b3ba51d85b149a81cc5a92b0e324859669cdd3ad14d47afb5884dbdfc79f5ec01132d3
     6e3af3f0ddbd7f061c58f265cd9f469d5f408c98c9a071ac398b52564faacb851cc5a93d7f`,
    '8386c5c4c3c2c1c0bfbe',
    `8386c5c4c3c2c1c0bfbe40899acac8b24d494f6a7f860befbecbcedb40884d83216b1d85a93fa700166a395f14acb6ebb1b2d483706c90af89
     f9005015a740cac004a071d18c118df00a3756007f`,
    `8386c7c6c5c4c3c2c1c07f00860befbed3cedb7f00a700166a395f14acb6ebb1b2d483706c90af89f9005015a740d2c004a071d18c118df00a
     3756007f`,
  ];
  assert.deepEqual(
    blocks.map((block) => decoder.decode(hex(block), USUAL)),
    [usual, usual, limited(3), limited(4)].map(fields),
  );
});

test('strings are a character a byte', () => {
  const value = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  for (const coded of [false, true]) {
    const block = Buffer.concat([Buffer.of(0x40), hpackString('x', coded), hpackString(value, coded), Buffer.of(0xbe)]);
    assert.deepEqual(new HpackDecoder().decode(block, USUAL), ['x', value, 'x', value]);
  }
});

test('an empty block is an empty list', () => assert.deepEqual(new HpackDecoder().decode(Buffer.alloc(0), USUAL), []));

test('there is no entry 0, as a whole or as a name', () => {
  fails(hex('80'));
  assert.deepEqual(new HpackDecoder().decode(hex('0001610162'), USUAL), ['a', 'b']);
});

test('an entry beyond the tables is an error, as a whole or as a name', () => {
  for (const [pattern, bits] of [
    [0x80, 7],
    [0x40, 6],
    [0x00, 4],
    [0x10, 4],
  ] as const) {
    const refer = (index: number) =>
      Buffer.concat([hpackInteger(pattern, bits, index), pattern === 0x80 ? hex('') : hex('0162')]);
    const decoder = new HpackDecoder();
    assert.equal(decoder.decode(refer(61), USUAL)![0], 'www-authenticate');
    for (const index of [62, 63, 1000, 2 ** 31]) fails(refer(index));
    const one = new HpackDecoder();
    one.decode(hex('4001610162'), USUAL);
    assert.deepEqual(one.decode(refer(62), USUAL), ['a', 'b']);
    const again = new HpackDecoder();
    again.decode(hex('4001610162'), USUAL);
    fails(refer(63), again);
  }
});

test('a name may be that of an entry which goes to make room (RFC 7541, 4.4)', () => {
  const peer = new HpackPeer();
  const plain = { as: 'indexed', coded: false, refer: 1 } as const;
  const decoder = new HpackDecoder();
  const block = Buffer.concat([
    peer.resize(100),
    peer.field('name', 'first', plain),
    peer.field('name', 'v'.repeat(60), plain),
  ]);
  assert.deepEqual(decoder.decode(block, USUAL), ['name', 'first', 'name', 'v'.repeat(60)]);
  assert.deepEqual(tableOf(decoder), ['name', 'v'.repeat(60)]);
});

test('a field larger than the table is read, and empties the table', () => {
  const decoder = new HpackDecoder();
  const large = Buffer.concat([hex('4001'), Buffer.from('b'), hpackString('v'.repeat(5000), false)]);
  decoder.decode(hex('4001610162'), USUAL);
  assert.deepEqual(decoder.decode(large, USUAL), ['b', 'v'.repeat(5000)]);
  assert.deepEqual(tableOf(decoder), []);
});

test('sizes of the table: at the beginning of a block, and no more than allowed', () => {
  const decoder = new HpackDecoder(8192);
  assert.deepEqual(decoder.decode(hex('20 3fe13f 82'), USUAL), [':method', 'GET']);
  fails(Buffer.concat([hpackInteger(0x20, 5, 8193)]), new HpackDecoder(8192));
  fails(Buffer.concat([hpackInteger(0x20, 5, 4097)]));
  fails(hex('21'), new HpackDecoder(0));
  assert.deepEqual(new HpackDecoder(0).decode(hex('20'), USUAL), []);
  fails(hex('82 20'));
  fails(hex('4001610162 3fe11f'));
  fails(hex('82 20 82'));
});

test('the table begins with 4096 bytes, whatever else is allowed, as its peer knows no better', () => {
  for (const allowed of [0, 256, 4096, 65536]) {
    const peer = new HpackPeer();
    const decoder = new HpackDecoder(allowed);
    for (let i = 0; i < 120; i++) {
      decoder.decode(peer.field(`name-${i}`, 'value', { as: 'indexed', coded: true, refer: 1 }), USUAL);
    }
    const { block, list } = peer.recital();
    assert.deepEqual(decoder.decode(block, USUAL), list);
    fails(hpackInteger(0x80, 7, 62 + peer.entries.length), decoder);
  }
});

test('a size of nothing and then the old one forgets everything', () => {
  const decoder = new HpackDecoder();
  decoder.decode(hex('4001610162'), USUAL);
  assert.deepEqual(decoder.decode(hex('203fe11f'), USUAL), []);
  fails(hex('be'), decoder);
});

test('a block that is cut anywhere in a field is an error', () => {
  const peer = new HpackPeer();
  for (const as of ['indexed', 'plain', 'never'] as const) {
    for (const coded of [false, true]) {
      const whole = peer.field(`custom-${as}`, 'v'.repeat(200), { as, coded, refer: 0 });
      for (let cut = 1; cut < whole.length; cut++) fails(whole.subarray(0, cut));
    }
  }
  fails(hex('ff'));
  fails(hex('7f'));
  fails(hex('3f'));
});

test('integers that are too large are errors wherever they stand', () => {
  for (const start of ['ff', '7f', '3f', '0f', '1f', '407f', '40ff', '0001617f']) {
    fails(hex(`${start}ffffffff7f`));
    fails(hex(`${start}808080808000`));
  }
});

test('bad Huffman code is an error in names and values', () => {
  for (const bad of ['84ffffffff', '81ff', '8118', '82ffff']) {
    fails(hex(`40${bad}0162`));
    fails(hex(`000161${bad}`));
  }
});

test('a list larger than the limit is none, and the table follows all the same', () => {
  const peer = new HpackPeer();
  const indexed = { as: 'indexed', coded: true, refer: 1 } as const;
  const list = Array.from({ length: 20 }, (_, i) => [`name-${i}`, 'v'.repeat(i)] as const);
  const block = () => Buffer.concat(list.map(([name, value]) => peer.field(name, value, indexed)));
  const bytes = list.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  const decoder = new HpackDecoder();
  assert.equal(decoder.decode(block(), { bytes: bytes - 1, pairs: 20 }), undefined);
  assert.deepEqual(decoder.decode(block(), { bytes, pairs: 20 }), list.flat());
  assert.equal(decoder.decode(block(), { bytes, pairs: 19 }), undefined);
  assert.equal(decoder.decode(block(), { bytes: 0, pairs: 0 }), undefined);
  assert.deepEqual(decoder.decode(block(), { bytes, pairs: 20 }), list.flat());
  assert.deepEqual(decoder.decode(Buffer.alloc(0), { bytes: 0, pairs: 0 }), []);
});

test('behind the limit errors are errors', () => {
  const none = { bytes: 0, pairs: 0 };
  for (const bad of ['82 80', '82 be', '82 20', '82 0001', '82 000161 81ff']) {
    assert.throws(() => new HpackDecoder().decode(hex(bad), none), HpackError);
  }
});

test('a small field behind one that was too large does not make the list fit again', () => {
  const decoder = new HpackDecoder();
  const block = Buffer.concat([hex('000161'), hpackString('v'.repeat(100), false), hex('0001610162')]);
  assert.equal(decoder.decode(block, { bytes: 100, pairs: 5 }), undefined);
});

test('a byte for each 4 KiB of list builds nothing beyond the limit', () => {
  const decoder = new HpackDecoder();
  const peer = new HpackPeer();
  const isRefused = (block: Buffer, limit: HeaderListLimit) => decoder.decode(block, limit) === undefined;
  decoder.decode(peer.field('n', 'v'.repeat(4063), { as: 'indexed', coded: false, refer: 0 }), USUAL);
  // 1 MiB of references to what is 4 GiB in all.
  const bomb = Buffer.alloc(1 << 20, 0xbe);
  const heap = process.memoryUsage().heapUsed;
  assert.ok(isRefused(bomb, USUAL));
  assert.ok(process.memoryUsage().heapUsed - heap < 8 << 20);
  // An empty name and value cost nothing on the wire, but a field each.
  decoder.decode(hex('400000'), USUAL);
  assert.ok(isRefused(bomb, { bytes: Number.MAX_SAFE_INTEGER, pairs: 1000 }));
});

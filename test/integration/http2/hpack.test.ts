// node:http2, which is nghttp2, as the other end of HPACK.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, createServer, type IncomingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { type AddressInfo, createConnection, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { HpackDecoder } from '../../../src/http2/hpack/decoder.ts';
import { encodeHeaders } from '../../../src/http2/hpack/encoder.ts';
import { STATIC_TABLE } from '../../../src/http2/hpack/static_table.ts';
import { seededRandom } from '../../support/doubles/seeded_random.ts';
import { within } from '../../support/wait.ts';
import { HeaderBlockPeer } from './header_block_peer.ts';

const LIMIT = { bytes: 1 << 20, pairs: 1000 };
const REQUESTS = 300;
/** What HTTP/2 gives a meaning to, so that not every value goes through. */
const MEANT = new Set(['host', 'transfer-encoding', 'content-length', 'expect', 'cookie', 'set-cookie']);

type Headers = Record<string, string>;

/** Header fields as they come along, and often come again: names of the static table and others, secrets, short and long values. */
function headersAtRandom(seed: number): () => Headers {
  const random = seededRandom(seed);
  const names = STATIC_TABLE.filter((name, i) => i % 2 === 0 && /^[a-z]/.test(name) && !MEANT.has(name));
  for (let i = 0; i < 40; i++) names.push(`x-${'name'.repeat(random.below(4))}-${i}`);
  const length = () => (random.below(50) === 0 ? 4000 : random.below(3) === 0 ? 150 : 20);
  // Latin-1 without control characters; digits and small letters have short codes, the others long ones.
  const anyOf = ['0123456789', 'abcdefghijklmnopqrstuvwxyz-/.:', '<>\\^`{|}~@#$\xa0\xe9\xff\x80'];
  const value = () => {
    const characters = random.below(2) === 0 ? anyOf.join('') : anyOf[random.below(3)]!;
    return Array.from({ length: random.below(length()) }, () => characters[random.below(characters.length)]).join('');
  };
  const usual = names.map((name) => [name, value()] as const);
  return () =>
    Object.fromEntries(
      Array.from({ length: random.below(25) }, () => {
        const [name, often] = usual[random.below(usual.length)]!;
        return [name, random.below(3) === 0 ? value() : often];
      }),
    );
}

const pairs = (list: readonly string[]) =>
  Object.fromEntries(Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i]!, list[2 * i + 1]!]));

/** Without Node's symbols and null prototype, and its number of `:status`. */
const plain = (headers: IncomingHttpHeaders): Headers =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, `${value}`]));

/** A client of node:http2, and what of HPACK it makes. */
async function clientOf(t: TestContext, tableBytes: number, answer: (request: Headers) => Headers) {
  const sizes = { blocks: 0, bytes: 0 };
  const server = createTcpServer((socket) => {
    t.after(() => socket.destroy());
    const decoder = new HpackDecoder(tableBytes);
    const peer = new HeaderBlockPeer(socket, 'server', tableBytes, (block, streamId) => {
      const list = decoder.decode(block, LIMIT);
      assert.ok(list !== undefined);
      sizes.blocks++;
      sizes.bytes += block.length;
      peer.sendHeaders(streamId, encodeHeaders(answer(pairs(list))));
    });
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    maxDeflateDynamicTableSize: 65536,
  });
  t.after(() => client.destroy());
  await once(client, 'remoteSettings');
  return { client, sizes };
}

async function answerTo(client: ClientHttp2Session, headers: Headers): Promise<Headers> {
  const stream = client.request({ ...headers, [sensitiveHeaders]: ['authorization', 'x-name-3'] });
  const answered = once(stream, 'response');
  stream.resume();
  const [answer] = await within('an answer', 5000, answered);
  return plain(answer as IncomingHttpHeaders);
}

for (const tableBytes of [0, 100, 1000, 4096, 65536]) {
  test(`requests of node:http2 with a table of ${tableBytes} bytes, and our answers`, async (t) => {
    const next = headersAtRandom(tableBytes);
    const asked: Headers[] = [];
    const answers: Headers[] = [];
    const { client, sizes } = await clientOf(t, tableBytes, (request) => {
      asked.push(request);
      answers.push({ ':status': `${200 + (asked.length % 300)}`, ...next() });
      return answers.at(-1)!;
    });
    let characters = 0;
    for (let i = 0; i < REQUESTS; i++) {
      const headers = {
        ':method': 'POST',
        ':scheme': 'http',
        ':authority': 'kas:8150',
        ':path': `/${i % 7}`,
        ...next(),
      };
      characters += Object.entries(headers).flat().join('').length;
      assert.deepEqual(await answerTo(client, headers), answers[i]);
      assert.deepEqual(asked[i], headers);
    }
    assert.equal(sizes.blocks, REQUESTS);
    // Its blocks are so small that Huffman code was at work, and a large table, too.
    assert.ok(sizes.bytes < characters * (tableBytes === 65536 ? 0.6 : 0.9), `${sizes.bytes} of ${characters}`);
  });

  test(`our requests, and answers of node:http2 with a table of ${tableBytes} bytes`, async (t) => {
    const next = headersAtRandom(tableBytes + 1);
    const asked: Headers[] = [];
    const answers: Headers[] = [];
    const server = createServer({ maxDeflateDynamicTableSize: 65536 }, (request, response) => {
      asked.push(plain(request.headers));
      answers.push(next());
      response.sendDate = false;
      response.writeHead(200 + (asked.length % 300), answers.at(-1)!);
      response.end();
    });
    t.after(() => server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = createConnection((server.address() as AddressInfo).port, '127.0.0.1');
    t.after(() => socket.destroy());
    const decoder = new HpackDecoder(tableBytes);
    let answered: (list: string[] | undefined) => void = () => {};
    const peer = new HeaderBlockPeer(socket, 'client', tableBytes, (block) => answered(decoder.decode(block, LIMIT)));
    for (let i = 0; i < REQUESTS; i++) {
      const headers = {
        ':method': 'POST',
        ':scheme': 'http',
        ':authority': 'kas:8155',
        ':path': `/${i % 7}`,
        ...next(),
      };
      const answer = new Promise<string[] | undefined>((resolve) => {
        answered = resolve;
      });
      peer.sendHeaders(2 * i + 1, encodeHeaders(headers));
      const list = await within('an answer', 5000, answer);
      assert.deepEqual(asked[i], headers);
      assert.deepEqual(pairs(list!), { ':status': `${200 + ((i + 1) % 300)}`, ...answers[i] });
    }
  });
}

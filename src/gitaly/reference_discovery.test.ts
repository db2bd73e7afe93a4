import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PktLineReader } from './pkt_line.ts';
import { type Discovered, ReferenceDiscovery } from './reference_discovery.ts';

const pkt = (text: string) => (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text;
const oid = (digit: string) => digit.repeat(40);
const header = `${pkt('# service=git-upload-pack\n')}0000`;
const advertised = [
  header,
  pkt(`${oid('a')} HEAD\0multi_ack thin-pack agent=git/2.42.0\n`),
  pkt(`${oid('a')} refs/heads/main\n`),
  pkt(`${oid('b')} refs/heads/main-2\n`),
  pkt(`${oid('c')} refs/tags/v1\n`),
  pkt(`${oid('d')} refs/tags/v1^{}\n`),
  '0000',
].join('');

function discover(wanted: string, ...pieces: (string | Buffer)[]): Discovered {
  const discovery = new ReferenceDiscovery(wanted);
  for (const piece of pieces) {
    const found = discovery.push(Buffer.from(piece));
    if (found !== undefined) return found;
  }
  return discovery.finish();
}

const found = (digit: string): Discovered => ({ kind: 'found', commitId: oid(digit) });

test('references are found by their whole name', () => {
  assert.deepEqual(discover('HEAD', advertised), found('a'));
  assert.deepEqual(discover('refs/heads/main', advertised), found('a'));
  assert.deepEqual(discover('refs/heads/main-2', advertised), found('b'));
  assert.deepEqual(discover('refs/tags/v1', advertised), found('c'));
  assert.deepEqual(discover('refs/tags/v1^{}', advertised), found('d'));
  assert.deepEqual(discover('refs/heads/mai', advertised), { kind: 'not found' });
  assert.deepEqual(discover('main', advertised), { kind: 'not found' });
});

test('wherever the bytes are cut', () => {
  const bytes = Buffer.from(advertised);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.deepEqual(
      discover('refs/tags/v1', bytes.subarray(0, cut), bytes.subarray(cut)),
      found('c'),
      `cut at ${cut}`,
    );
  }
  assert.deepEqual(discover('refs/tags/v1', ...[...bytes].map((byte) => Buffer.from([byte]))), found('c'));
});

test('nothing is looked for once it was found', () => {
  const discovery = new ReferenceDiscovery('HEAD');
  const end = advertised.indexOf(' refs/heads/main\n');
  assert.deepEqual(discovery.push(Buffer.from(advertised.slice(0, end))), found('a'));
});

test('HEAD that is not listed is main, or else master', () => {
  const list = (...names: string[]) =>
    names.map((name, i) => pkt(`${oid(String(i + 1))} ${name}${i === 0 ? '\0caps' : ''}\n`)).join('');
  const both = `${header}${list('refs/heads/master', 'refs/heads/main')}0000`;
  assert.deepEqual(discover('HEAD', both), found('2'));
  assert.deepEqual(discover('HEAD', `${header}${list('refs/heads/a', 'refs/heads/master')}0000`), found('2'));
  assert.deepEqual(discover('HEAD', `${header}${list('refs/heads/a')}0000`), { kind: 'not found' });
});

test('a repository without references is empty, also as newer servers say it', () => {
  for (const none of ['0000', pkt(''), `${pkt(`${'0'.repeat(40)} capabilities^{}\0agent=git/2.42.0`)}0000`]) {
    assert.deepEqual(discover('refs/heads/main', `${header}${none}`), { kind: 'empty repository' }, none);
  }
});

test('sha256 repositories', () => {
  const long = 'e'.repeat(64);
  const text = `${header}${pkt(`${long} refs/heads/main\0object-format=sha256\n`)}0000`;
  assert.deepEqual(discover('refs/heads/main', text), { kind: 'found', commitId: long });
});

test('what is no reference discovery is refused with what is wrong', () => {
  const first = pkt(`${oid('a')} refs/heads/x\0caps\n`);
  const cases: [string, string][] = [
    [pkt('# service=git-receive-pack\n'), 'unexpected header "# service=git-receive-pack"'],
    ['0000', 'unexpected header ""'],
    [`${pkt('# service=git-upload-pack\n')}${first}`, 'missing flush after service announcement'],
    [`${header}${pkt(`${oid('a')} HEAD\n`)}`, 'invalid first reference line'],
    [`${header}${pkt('zzz HEAD\0caps\n')}`, 'invalid first reference line'],
    [`${header}${first}${pkt('nonsense\n')}`, 'invalid reference line'],
    [`${header}${first}0000${first}`, 'received packet after flush'],
    [`${header}${first}`, 'discovery ended prematurely'],
    [`${header}${first}0000${'00'}`, 'discovery ended prematurely'],
    ['', 'discovery ended prematurely'],
    ['<html>', 'invalid packet length "<htm"'],
    ['fff1', 'packet of 65521 bytes is too long'],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => discover('refs/heads/main', text), { name: 'PktLineError', message }, JSON.stringify(text));
  }
});

test('a packet of the greatest length, and magic ones', () => {
  const reader = new PktLineReader();
  const packets = [...reader.push(Buffer.from(`${pkt('x'.repeat(65_516))}000100020003${pkt('end')}`))];
  assert.deepEqual(
    packets.map((packet) => packet?.length),
    [65_516, undefined, undefined, undefined, 3],
  );
  assert.equal(reader.hasRest, false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IncomingHead, readIncomingHead } from './incoming_head.ts';

const VIA = 'gRPC/1.0 gitlab-kas/v0.0.0/00000000';

function read(...rawHeaders: string[]): IncomingHead {
  return readIncomingHead(rawHeaders, VIA);
}

function forwarded(...rawHeaders: string[]): Record<string, string[]> {
  const { forwarded: lists } = read(...rawHeaders);
  const map = Object.fromEntries(lists);
  assert.equal(Object.keys(map).length, lists.length, 'a name stands in the list twice');
  return map;
}

test('lines of one name become one list, in their order, whatever their case', () => {
  assert.deepEqual(forwarded('X-Dup', 'a', 'x-other', 'o', 'x-dup', 'b', 'X-DUP', ''), {
    'X-Dup': ['a', 'b', ''],
    'X-Other': ['o'],
    Via: [VIA],
  });
});

test('many names take the way through the index and come out the same', () => {
  const raw: string[] = [];
  for (let i = 0; i < 200; i++) raw.push(`x-${i % 100}`, String(i));
  const map = forwarded(...raw);
  for (let i = 0; i < 100; i++) assert.deepEqual(map[`X-${i}`], [String(i), String(i + 100)]);
});

test('credentials are kept for us and never forwarded', () => {
  const raw = ['AUTHORIZATION', 'Bearer a', 'cookie', 'c=1', 'gitlab-agent-id', '7', 'x-csrf-token', 't', 'HOST', 'h'];
  assert.deepEqual(forwarded(...raw), { Via: [VIA] });
  const head = read(...raw, 'authorization', 'Bearer b', 'Cookie', 'd=2');
  assert.deepEqual(head.authorization, ['Bearer a', 'Bearer b']);
  assert.deepEqual(head.cookies, ['c=1', 'd=2']);
  assert.deepEqual(head.agentIds, ['7']);
  assert.deepEqual(head.csrfTokens, ['t']);
});

test('one request does not see what another has left', () => {
  read('Cookie', 'a=1', 'Cookie', 'b=2', 'Authorization', 'x', 'Gitlab-Agent-Id', '1');
  const head = read();
  assert.deepEqual([head.cookies, head.authorization, head.agentIds], [[], [], []]);
});

test('every spelling of an impersonation header arrives in the one that agentk looks for', () => {
  const names = ['Impersonate-User', 'Impersonate-Group', 'Impersonate-Uid', 'Impersonate-Extra-Scopes'];
  for (const name of names) {
    for (let mask = 0; mask < 4096; mask++) {
      assert.deepEqual(forwarded(randomCase(name, mask), 'v'), { [name]: ['v'], Via: [VIA] });
    }
  }
});

test('an impersonation header cannot be told apart from itself by lines of different case', () => {
  const map = forwarded('impersonate-group', 'a', 'Impersonate-Group', 'b', 'IMPERSONATE-GROUP', 'system:masters');
  assert.deepEqual(map, { 'Impersonate-Group': ['a', 'b', 'system:masters'], Via: [VIA] });
});

test('a name that is no token goes nowhere', () => {
  const bad = [
    'impersonate-user ',
    ' impersonate-user',
    'impersonate\u002duser\u0000',
    'impersonate-us\u00e9r',
    ':path',
    '',
  ];
  for (const name of bad) assert.deepEqual(forwarded(name, 'root'), { Via: [VIA] });
});

test('what belongs to the connection stays here', () => {
  const raw = [
    'Connection',
    'X-Drop, close',
    'connection',
    'keep-alive,x-also ,,',
    'X-Drop',
    '1',
    'x-ALSO',
    '2',
    'X-Stay',
    '3',
  ];
  const hop = ['Proxy-Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Proxy-Authorization', 'TE', 'Trailer'];
  for (const name of hop) raw.push(name, 'x');
  raw.push('Transfer-Encoding', 'chunked');
  assert.deepEqual(forwarded(...raw), { 'X-Stay': ['3'], Via: [VIA] });
});

test('Connection cannot remove what this server adds, nor uncover what it hides', () => {
  assert.deepEqual(forwarded('Connection', 'via, upgrade, connection', 'Via', '1.1 front', 'Upgrade', 'websocket'), {
    Connection: ['upgrade'],
    Upgrade: ['websocket'],
    Via: [VIA],
  });
  const head = read(
    'Connection',
    'authorization, gitlab-agent-id',
    'Authorization',
    'Bearer a',
    'Gitlab-Agent-Id',
    '1',
  );
  assert.deepEqual([head.authorization, head.agentIds], [['Bearer a'], ['1']]);
});

test('Upgrade counts without Connection, too', () => {
  const head = read('upgrade', 'SPDY/3.1');
  assert.equal(head.isUpgrade, true);
  assert.deepEqual(Object.fromEntries(head.forwarded), { Connection: ['upgrade'], Upgrade: ['SPDY/3.1'], Via: [VIA] });
});

test('values are UTF-8 behind the Latin-1 that Node gives', () => {
  const bytes = Buffer.from('Zürich €').toString('latin1');
  assert.deepEqual(forwarded('X-City', bytes), { 'X-City': ['Zürich €'], Via: [VIA] });
  assert.equal(read('X-City', bytes).invalidUtf8, false);
  assert.equal(read('X-City', 'caf\u00e9').invalidUtf8, true);
  assert.equal(
    read('X-City', '\u00ef\u00bb\u00bfx').forwarded[0]?.[1][0],
    '\ufeffx',
    'a byte order mark is a character',
  );
  assert.equal(read('Cookie', 'caf\u00e9').invalidUtf8, false, 'it goes nowhere');
});

test('the length of the body', () => {
  assert.equal(read().bodyLength, 0);
  assert.equal(read('content-length', '5').bodyLength, 5);
  assert.equal(read('Content-Length', '5', 'Transfer-Encoding', 'chunked').bodyLength, -1);
  assert.equal(read('Transfer-Encoding', 'chunked', 'Content-Length', '5').bodyLength, -1);
  assert.equal(read('Content-Length', '5, 6').bodyLength, -1);
  assert.equal(read('Content-Length', '-5').bodyLength, -1);
});

/** Upper case where the mask has a bit, repeated over the name. */
function randomCase(name: string, mask: number): string {
  return [...name].map((c, i) => ((mask >> (i % 12)) & 1 ? c.toUpperCase() : c.toLowerCase())).join('');
}

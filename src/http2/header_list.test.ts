import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedHeaders, requestHeaders, responseHeaders, trailerHeaders } from './header_list.ts';

const START = [':method', 'GET', ':scheme', 'https', ':authority', 'kas', ':path', '/'];
const plain = (headers: object) => ({ ...headers });
const malformed = (list: readonly string[], read = requestHeaders) =>
  assert.throws(() => read(list), MalformedHeaders, JSON.stringify(list));
const without = (name: string) => START.filter((_, i) => START[i - (i % 2)] !== name);

test('a request, by name', () => {
  assert.deepEqual(plain(requestHeaders([...START, 'x-a', '1', 'te', 'trailers', 'empty', ''])), {
    ':method': 'GET',
    ':scheme': 'https',
    ':authority': 'kas',
    ':path': '/',
    'x-a': '1',
    te: 'trailers',
    empty: '',
  });
});

test('names of JavaScript’s objects are names like others', () => {
  const headers = requestHeaders([...START, '__proto__', 'a', 'constructor', 'b']);
  assert.deepEqual(Object.entries(headers).slice(4), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ]);
  assert.equal(requestHeaders(START).constructor, undefined);
});

test('several of one name', () => {
  const list = ['a', '1', 'cookie', 'b=1', 'set-cookie', 'x', 'a', '2', 'cookie', 'c=2', 'set-cookie', 'y', 'a', ''];
  const single = ['authorization', 'first', 'host', 'h', 'authorization', 'second', 'host', 'i'];
  assert.deepEqual(plain(trailerHeaders([...list, ...single])), {
    a: '1, 2, ',
    cookie: 'b=1; c=2',
    'set-cookie': ['x', 'y'],
    authorization: 'first',
    host: 'h',
  });
});

test('a request needs method, scheme and path', () => {
  for (const name of [':method', ':scheme', ':path']) malformed(without(name));
  requestHeaders(without(':authority'));
});

test('a path begins with a slash; `*` is one of OPTIONS', () => {
  const asking = (method: string, path: string) => [':method', method, ':scheme', 'http', ':path', path];
  for (const path of ['', 'a', 'http://kas/', '*', '?']) malformed(asking('GET', path));
  requestHeaders(asking('OPTIONS', '*'));
  requestHeaders(asking('GET', '/%20?x=\xff#'));
});

test('CONNECT names a host only', () => {
  requestHeaders([':method', 'CONNECT', ':authority', 'kas:443']);
  malformed([':method', 'CONNECT']);
  malformed([':method', 'CONNECT', ':authority', 'kas:443', ':path', '/']);
  malformed([':method', 'CONNECT', ':authority', 'kas:443', ':scheme', 'https']);
});

test('we have not offered the CONNECT of WebSockets', () => {
  malformed([...START, ':protocol', 'websocket']);
  malformed([':method', 'CONNECT', ':protocol', 'websocket', ':authority', 'kas', ':scheme', 'https', ':path', '/']);
});

test('pseudo-header fields come first, once, and are those of a request', () => {
  malformed([':method', 'GET', ':scheme', 'http', 'a', 'b', ':path', '/']);
  for (const name of [':method', ':scheme', ':authority', ':path']) malformed([...START, name, '/']);
  for (const name of [':status', ':', ':Method', ':x']) malformed([...START, name, '200']);
});

test('nothing in a pseudo-header field can be taken for more of a line', () => {
  for (const name of [':method', ':scheme', ':authority', ':path']) {
    for (const bad of [' ', '\t', '\r', '\n', '\0', '\x7f', '\x1b']) malformed([...without(name), name, `/a${bad}b`]);
  }
  for (const method of ['', 'G(T', 'GET/', 'GE:T', '\xe9']) malformed([...without(':method'), ':method', method]);
  requestHeaders([...without(':method'), ':method', "M-SEARCH!#$%&'*+.^_`|~0"]);
});

test('names are tokens in lower case', () => {
  for (const name of ['', 'A', 'aB', 'a b', 'a:', 'a\r', 'a\n', 'a\0', '\xe9', 'a(', 'ā', 'ﬀ', 'a,', '"']) {
    malformed([...START, name, 'x']);
  }
  requestHeaders([...START, "!#$%&'*+-.^_`|~09az", 'x']);
});

test('values have no control characters but the tab', () => {
  for (let code = 0; code < 0x20; code++) {
    const list = [...START, 'a', `x${String.fromCharCode(code)}y`];
    if (code === 9) requestHeaders(list);
    else malformed(list);
  }
  malformed([...START, 'a', '\x7f']);
  requestHeaders([...START, 'a', ' \x80\xff" ']);
});

test('long names and values are looked at, once each', () => {
  const [name, value] = ['n'.repeat(4000), 'V'.repeat(4000)];
  requestHeaders([...START, 'a', value, 'b', value, name, 'c', name, value]);
  malformed([...START, 'a', value, 'b', `${value}\n`]);
  malformed([...START, name, 'a', `${name}N`, 'b']);
  malformed([...START, 'a', value, value, 'b']); // a good value is no name for that
  const time = (text: string) => {
    const list = [...START, ...Array.from({ length: 8000 }, (_, i) => (i % 2 === 0 ? 'a' : text))];
    const start = performance.now();
    for (let i = 0; i < 100; i++) requestHeaders(list);
    return performance.now() - start;
  };
  time('short');
  const short = time('short');
  const long = time(value);
  assert.ok(long < 5 * short + 50, `${long} ms, short ones ${short}`);
});

test('what belongs to a connection of HTTP/1.1 has no place', () => {
  for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']) {
    malformed([...START, name, 'x']);
    malformed([':status', '200', name, 'x'], responseHeaders);
    malformed([name, 'x'], trailerHeaders);
  }
  for (const value of ['', 'gzip', 'trailers, gzip', 'Trailers']) malformed([...START, 'te', value]);
});

test('there is one content-length', () => {
  requestHeaders([...START, 'content-length', '1']);
  malformed([...START, 'content-length', '1', 'content-length', '1']);
});

test('an answer has a status of three digits and nothing of a request', () => {
  assert.equal(responseHeaders([':status', '204'])[':status'], '204');
  for (const status of ['', '20', '2000', '+20', '2x0']) malformed([':status', status], responseHeaders);
  malformed(['a', 'b'], responseHeaders);
  malformed([':status', '200', ':path', '/'], responseHeaders);
  malformed([':status', '200', ':status', '200'], responseHeaders);
  malformed(['a', 'b', ':status', '200'], responseHeaders);
});

test('trailers have no pseudo-header fields', () => {
  assert.deepEqual(plain(trailerHeaders(['grpc-status', '0'])), { 'grpc-status': '0' });
  assert.deepEqual(plain(trailerHeaders([])), {});
  for (const name of [':status', ':path', ':method']) malformed([name, '200'], trailerHeaders);
});

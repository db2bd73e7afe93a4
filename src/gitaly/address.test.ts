import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGitalyAddress } from './address.ts';
import { callHeaders, TokensV2 } from './call_headers.ts';
import { dialErrorText } from './dial.ts';

test('addresses as GitLab sends them', () => {
  const cases: [string, unknown][] = [
    ['tcp://gitaly:8075', { kind: 'tcp', host: 'gitaly', port: 8075 }],
    ['tls://gitaly.example:9999', { kind: 'tls', host: 'gitaly.example', port: 9999 }],
    ['tcp://[::1]:8075', { kind: 'tcp', host: '::1', port: 8075 }],
    ['unix:/var/opt/gitaly.socket', { kind: 'unix', path: '/var/opt/gitaly.socket' }],
    ['unix:///var/opt/gitaly.socket', { kind: 'unix', path: '/var/opt/gitaly.socket' }],
    ['dns:gitaly', { kind: 'dns', host: 'gitaly', port: 443, server: undefined }],
    ['dns:gitaly:8075', { kind: 'dns', host: 'gitaly', port: 8075, server: undefined }],
    ['dns:///gitaly:8075', { kind: 'dns', host: 'gitaly', port: 8075, server: undefined }],
    ['dns://10.0.0.2/gitaly:8075', { kind: 'dns', host: 'gitaly', port: 8075, server: '10.0.0.2:53' }],
    ['dns://[fd00::2]:5353/gitaly', { kind: 'dns', host: 'gitaly', port: 443, server: '[fd00::2]:5353' }],
  ];
  for (const [text, address] of cases) assert.deepEqual(parseGitalyAddress(text), address, text);
});

test('anything else is refused', () => {
  const invalid = (text: string): [string, string] => [text, `invalid connection string: "${text}"`];
  const cases: [string, string][] = [
    ['', 'address is empty'],
    ['tcp://', 'remote addresses should have a host'],
    ['tcp://gitaly:1/p', 'remote addresses should not have a path: "/p"'],
    ...['gitaly:8075', 'http://gitaly:8075', 'tcp:gitaly:1', 'tcp://gitaly', 'tcp://a:0', 'tcp://a:65536'].map(invalid),
    ...['tcp://u:p@a:1', 'unix:', 'unix:relative', 'dns:', 'dns://x', 'dns:a:b:c'].map(invalid),
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseGitalyAddress(text), { message: `could not dial source: ${message}` }, text);
  }
});

test('the token proves the time, feature flags go through', () => {
  const nowMs = 1795343160_999;
  const features = {
    'gitaly-feature-x': 'true',
    'bad name': 'x',
    'gitaly-feature-y': 'a\nb',
    authorization: 'Bearer x',
  };
  assert.deepEqual(callHeaders({ features }, 'gitlab-kas/v1/abc', new TokensV2('gitaly-token').authorization(nowMs)), {
    authorization: 'Bearer v2.9ab9ffa3f82be16517b453bf513b1d5d1fabcb70c1ed8e669a0b127f58fd32ec.1795343160',
    'gitaly-feature-x': 'true',
    'user-agent': 'gitlab-kas/v1/abc',
  });
  assert.equal(callHeaders({ features: {} }, 'x', new TokensV2('').authorization(nowMs)).authorization, undefined);
});

test('each second has a token of its own', () => {
  const tokens = new TokensV2('gitaly-token');
  const first = tokens.authorization(1000);
  assert.equal(tokens.authorization(1999), first);
  assert.match(tokens.authorization(2000), /^Bearer v2\.[0-9a-f]{64}\.2$/);
  assert.notEqual(tokens.authorization(3000).slice(0, 40), first.slice(0, 40));
});

test('why a place cannot be reached', () => {
  const failure = (code: string, message = code) => Object.assign(new Error(message), { code });
  const tcp = { kind: 'tcp', host: '::1', port: 80 } as const;
  const tls = { kind: 'tls', host: 'gitaly', port: 9999 } as const;
  const dialing = 'transport: Error while dialing: dial';
  assert.equal(dialErrorText(tcp, failure('ECONNREFUSED')), `${dialing} tcp [::1]:80: connect: connection refused`);
  assert.equal(
    dialErrorText({ kind: 'unix', path: '/s' }, new Error('x', { cause: failure('ENOENT') })),
    `${dialing} unix /s: connect: no such file or directory`,
  );
  assert.equal(dialErrorText(tls, failure('ENOTFOUND')), `${dialing} tcp: lookup gitaly: no such host`);
  assert.equal(
    dialErrorText(tls, failure('DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed\ncertificate')),
    'transport: authentication handshake failed: self-signed certificate',
  );
  const both = new AggregateError([failure('ETIMEDOUT'), failure('ECONNREFUSED')]);
  assert.equal(dialErrorText(tcp, both), `${dialing} tcp [::1]:80: i/o timeout`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseNodeUrl } from './node_url.ts';

const good: [string, object][] = [
  ['grpc://10.0.0.1:8155', { kind: 'tcp', host: '10.0.0.1', port: 8155, authority: '10.0.0.1:8155' }],
  ['grpc://kas-1.kas:8155', { kind: 'tcp', host: 'kas-1.kas', port: 8155, authority: 'kas-1.kas:8155' }],
  ['grpc://kas', { kind: 'tcp', host: 'kas', port: 80, authority: 'kas:80' }],
  ['grpc://kas:80', { kind: 'tcp', host: 'kas', port: 80, authority: 'kas:80' }],
  ['grpcs://kas', { kind: 'tls', host: 'kas', port: 443, authority: 'kas:443' }],
  ['grpcs://[fd00::1]:8155', { kind: 'tls', host: 'fd00::1', port: 8155, authority: '[fd00::1]:8155' }],
  ['unix:///run/kas.sock', { kind: 'unix', path: '/run/kas.sock', authority: 'localhost' }],
  ['unix://kas.sock', { kind: 'unix', path: 'kas.sock', authority: 'localhost' }],
];
for (const [url, endpoint] of good) test(url, () => assert.deepEqual(parseNodeUrl(url), endpoint));

for (const url of [
  'http://kas:8155',
  'kas:8155',
  'grpc://',
  'grpc://:8155',
  'grpc://kas:99999',
  'grpc://kas/x',
  'unix:',
  '',
])
  test(`not usable: ${url || 'nothing'}`, () => assert.equal(parseNodeUrl(url), undefined));

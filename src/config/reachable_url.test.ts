import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RedisConfig } from './config.ts';
import { isSharedWithOtherMachines, unreachableBecause } from './reachable_url.ts';

const addresses = ['127.0.0.1', '::1', '10.1.2.3', 'fd00::5'];

const rows: [string, RegExp | undefined][] = [
  ['grpc://10.1.2.3:8155', undefined],
  ['grpcs://[fd00::5]:8155', undefined],
  ['grpc://kas-1.kas.svc:8155', undefined],
  ['grpc://localhost:8155', /localhost is this machine/],
  ['grpc://127.0.0.2:8155', /127\.0\.0\.2 is this machine/],
  ['grpc://[::1]:8155', /::1 is this machine/],
  ['grpc://0.0.0.0:8155', /no address to connect to/],
  ['grpc://[::]:8155', /no address to connect to/],
  ['grpc://10.9.9.9:8155', /does not have the address 10\.9\.9\.9/],
  ['unix:///run/kas.sock', /socket/],
  ['grpc://:8155', /no URL/],
];
for (const [url, reason] of rows) {
  test(`reachable or not: ${url}`, () => {
    const said = unreachableBecause(url, { addresses });
    if (reason === undefined) assert.equal(said, undefined);
    else assert.match(said ?? 'nothing', reason);
  });
}

test('a Redis that is reached through this machine alone is not shared with others', () => {
  const redis = (network: 'tcp' | 'unix', endpoint: RedisConfig['endpoint']) =>
    isSharedWithOtherMachines({ network, endpoint } as RedisConfig);
  const sentinel = (...sentinels: string[]) => ({
    masterName: 'm',
    addresses: sentinels,
    password: undefined,
    tls: undefined,
  });
  assert.equal(redis('unix', { address: '/run/redis.sock' }), false);
  assert.equal(redis('tcp', { address: 'localhost:6379' }), false);
  assert.equal(redis('tcp', { address: '127.0.0.1:6379' }), false);
  assert.equal(redis('tcp', { address: 'redis.internal:6379' }), true);
  assert.equal(redis('tcp', sentinel('127.0.0.1:26379', 'redis-2:26379')), true);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../runtime/app_error.ts';
import { bindTargets, joinHostPort } from './address.ts';

const hosts = (network: 'tcp' | 'tcp4' | 'tcp6', address: string) =>
  bindTargets(network, address).map(({ host, port, ipv6Only, optional }) => {
    return `${joinHostPort(host, port)}${ipv6Only ? ' only' : ''}${optional ? ' optional' : ''}`;
  });

test('localhost is both loopback addresses, unless one family is asked for', () => {
  assert.deepEqual(hosts('tcp', 'localhost:8150'), ['127.0.0.1:8150', '[::1]:8150 only optional']);
  assert.deepEqual(hosts('tcp', 'LocalHost:8150'), ['127.0.0.1:8150', '[::1]:8150 only optional']);
  assert.deepEqual(hosts('tcp4', 'localhost:8150'), ['127.0.0.1:8150']);
  assert.deepEqual(hosts('tcp6', 'localhost:8150'), ['[::1]:8150 only']);
});

test('every wildcard is both families, unless one family is asked for', () => {
  for (const address of [':8154', '0.0.0.0:8154', '[::]:8154']) assert.deepEqual(hosts('tcp', address), ['[::]:8154']);
  assert.deepEqual(hosts('tcp4', ':8154'), ['0.0.0.0:8154']);
  assert.deepEqual(hosts('tcp6', ':8154'), ['[::]:8154 only']);
});

test('other hosts and ports stay as they are written', () => {
  assert.deepEqual(hosts('tcp', '10.1.2.3:0'), ['10.1.2.3:0']);
  assert.deepEqual(hosts('tcp', 'kas.example:'), ['kas.example:0']);
  assert.deepEqual(hosts('tcp', '[fe80::1]:443'), ['[fe80::1]:443']);
});

test('what is no host:port is refused in words', () => {
  const message = (address: string) => {
    try {
      bindTargets('tcp', address);
    } catch (error) {
      assert.ok(error instanceof AppError);
      return error.message;
    }
    return undefined;
  };
  assert.equal(message('8150'), 'listen tcp: address 8150: missing port in address');
  assert.equal(message('::1:8150'), 'listen tcp: address ::1:8150: too many colons in address');
  assert.equal(message('a:99999'), 'listen tcp: address 99999: invalid port');
  assert.equal(message('a:http'), 'listen tcp: address http: invalid port');
});

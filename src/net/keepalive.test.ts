import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Keepalive, PingPolicy } from './keepalive.ts';

test('a silent peer is pinged after 50 s and given up 20 s later', () => {
  const keepalive = new Keepalive(0);
  assert.equal(keepalive.check(5000, 100), 'ok');
  assert.equal(keepalive.check(50_000, 100), 'ok');
  assert.equal(keepalive.check(55_000, 100), 'ping');
  assert.equal(keepalive.check(70_000, 100), 'ok');
  assert.equal(keepalive.check(75_000, 100), 'dead');
});

test('anything read is a sign of life, before the ping and after it', () => {
  const keepalive = new Keepalive(0);
  assert.equal(keepalive.check(45_000, 1), 'ok');
  assert.equal(keepalive.check(90_000, 1), 'ok');
  assert.equal(keepalive.check(95_000, 1), 'ping');
  assert.equal(keepalive.check(100_000, 18), 'ok');
  assert.equal(keepalive.check(145_000, 18), 'ok');
  assert.equal(keepalive.check(150_000, 18), 'ping');
});

test('a peer that never sends anything is found dead as well', () => {
  const keepalive = new Keepalive(1000);
  assert.equal(keepalive.check(51_000, 0), 'ping');
  assert.equal(keepalive.check(71_000, 0), 'dead');
});

test('pings every 20 s are welcome, sooner ones are forgiven twice', () => {
  const policy = new PingPolicy();
  let written = 24; // our SETTINGS
  const ping = (atMs: number) => {
    const allowed = policy.allow(atMs, written);
    written += 17;
    return allowed;
  };
  assert.ok(ping(0));
  assert.ok(ping(20_000));
  assert.ok(ping(40_000));
  assert.ok(ping(41_000));
  assert.ok(ping(42_000));
  assert.ok(!ping(43_000));
});

test('a burst whose acknowledgements are not written yet is counted too', () => {
  const policy = new PingPolicy();
  assert.deepEqual(
    [0, 1, 2, 3].map((at) => policy.allow(at, 24)),
    [true, true, true, false],
  );
});

test('pings that follow something we sent are how a client measures, and forgive earlier ones', () => {
  const policy = new PingPolicy();
  for (let i = 1; i < 100; i++) assert.ok(policy.allow(i * 10, i * 1000));
});

test('acknowledgements that are written late are nothing that we sent', () => {
  const policy = new PingPolicy();
  const allowed = [];
  // Three pings arrive in one read, their three acknowledgements leave after it.
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 3; i++) allowed.push(policy.allow(round * 10 + i, 24 + round * 51));
  }
  assert.equal(allowed.indexOf(false), 3);
});

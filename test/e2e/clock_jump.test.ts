// A clock that is set while the server runs: connections, watches and new requests go on, and GitLab's refusals are explained.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import { launchCommand } from '../support/launch.ts';
import { startNodes } from '../support/nodes.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import { delay, eventually } from '../support/wait.ts';

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const library = `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`;
const skip = existsSync(library)
  ? launchCommand().flavour === 'deno' && 'its own clock is not that of the C library'
  : 'no libfaketime here: install it (Debian: faketime)';

const HOUR_S = 3600;

/** A wall clock that can be set; the monotonic one goes on as ever. */
function settableClock() {
  const file = join(mkdtempSync(join(tmpdir(), 'clock-')), 'offset');
  const set = (seconds: number) => writeFileSync(file, `${seconds < 0 ? '' : '+'}${seconds}`);
  set(0);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  return { set, env };
}

test('an hour forth, an hour back: agents stay, a watch goes on, requests and new agents come in', {
  skip,
}, async () => {
  const watches: ServerResponse[] = [];
  const backend = await startBackend({
    paths: {
      '/fine': (_, response) => response.end('fine'),
      '/watch': (_, response) => {
        response.writeHead(200).write('first\n');
        watches.push(response);
      },
    },
  });
  const clock = settableClock();
  const config = { observability: { logging: { level: 'debug', grpc_level: 'info' } } };
  const cluster = await startCluster({ backend, env: clock.env, config });
  const { server } = cluster;
  const watch = await cluster.open({ path: '/watch' });
  let seen = '';
  watch.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await eventually('the watch', () => seen === 'first\n');
  for (const offset of [HOUR_S, -HOUR_S, 0]) {
    clock.set(offset);
    await delay(1500); // timers of a second or so have run
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine');
    watches[0]?.write(`after ${offset}\n`);
    await eventually('the watch to go on', () => seen.endsWith(`after ${offset}\n`));
    const now = new Date(Date.now() + offset * 1000).getTime();
    const line = server.log.findLast(({ msg }) => msg === 'Proxied request') ?? assert.fail('no line');
    assert.ok(Math.abs(Date.parse(String(line.time)) - now) < 60_000, `it is ${line.time} for the server`);
    assert.ok(Number(line.duration_ms) < 60_000 && Number(line.duration_ms) >= 0);
    assert.ok(!server.log.some(({ msg }) => msg === 'gRPC connection closed'), 'nobody had to connect again');
    await cluster.connectAgent(1);
  }
  watches[0]?.end();
  await eventually('the end of the watch', () => watch.readableEnded);
  assert.equal(server.log.filter(({ level }) => level === 'error').length, 0);
  await cluster.stop();
});

test('a GitLab whose clock differs refuses, and the server says why', { skip }, async () => {
  const clock = settableClock();
  const backend = await startBackend({ paths: { '/fine': (_, response) => response.end('fine') } });
  const cluster = await startCluster({ backend, gitlab: {}, env: clock.env });
  const { server } = cluster;
  assert.equal((await cluster.ask({ path: '/fine', token: 'ci:1:job-agent' })).text, 'fine');
  clock.set(HOUR_S);
  const refused = await cluster.ask({ path: '/fine', token: 'pat:1:bob-pat' });
  assert.equal(refused.status, 401);
  const line = await server.waitForLog('of the secret', ({ msg }) => msg === 'GitLab refuses the secret');
  assert.ok(Math.abs(Number(line.gitlab_clock_ahead_seconds) + HOUR_S) < 60);
  assert.match(String(line.hint), /clock/);
  const { status, text } = await ask(server.endpoints.observability, { path: '/readiness' });
  assert.equal(status, 200);
  assert.match(text, /^gitlab: degraded: GitLab refuses the secret, its clock is -3\d\d\d s ahead of ours$/m);
  await server.kill();
  cluster.agentLink.close();
  await cluster.gitlab?.close();
  await backend.close();
});

test('nodes whose clocks differ by more than 5 s say so, and go on when they agree again', {
  skip: skip || noRedis,
}, async (t) => {
  const clock = settableClock();
  const backend = await startBackend({ paths: { '/fine': (_, response) => response.end('fine') } });
  const redis = await startRedis(t);
  const nodes = await startNodes({ nodes: [{}, { env: clock.env }], redis, backend });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  const asked = (signal?: AbortSignal) => nodes.ask(1, { path: '/fine', ...(signal && { signal }) });
  assert.equal((await asked()).text, 'fine');
  // GitLab still takes its tokens, which are valid for 30 s.
  clock.set(-15);
  const lost = new AbortController();
  const asking = asked(lost.signal).catch(() => undefined);
  const line = await nodes.servers[1]?.waitForLog('the difference', ({ msg }) =>
    msg.endsWith('secrets or clocks differ'),
  );
  assert.match(String(line?.hint), /clocks must agree within 5 seconds/);
  lost.abort();
  await asking;
  clock.set(0);
  assert.equal((await asked()).text, 'fine');
});

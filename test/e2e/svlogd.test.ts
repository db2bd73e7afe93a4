// The log under runit, as the Linux package runs it: svlogd reads it, cuts it into files, and is restarted now and then.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { which } from '../support/launch.ts';
import type { LogLine } from '../support/server.ts';

const skip = which('svlogd') === undefined && 'no svlogd here: install it (Debian: runit)';
const REQUESTS = 300;

/** Each file is a few dozen lines long, and all are kept. */
const SVLOGD_CONFIG = 's20000\nn1000\n';

test('svlogd rotates, on its own and on a signal, and no line is lost or broken', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'svlogd-'));
  const logs = join(folder, 'logs');
  mkdirSync(logs);
  writeFileSync(join(logs, 'config'), SVLOGD_CONFIG);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const svlogd = spawn('/bin/sh', ['-c', 'exec svlogd "$0" < "$1"', logs, pipe], { stdio: 'ignore' });
  const ended = once(svlogd, 'close');
  const backend = await startBackend({ paths: { '/fine': (_, response) => response.end('fine') } });
  const cluster = await startCluster({ backend, stderrTo: pipe });
  for (let i = 0; i < REQUESTS; i++) {
    if (i % 200 === 100) svlogd.kill('SIGALRM'); // "rotate now"
    if (i % 200 === 150) svlogd.kill('SIGHUP'); // "read your configuration, open your files again"
    const { status } = await cluster.ask({ path: '/fine', headers: { 'x-request-id': `request-${i}` } });
    assert.equal(status, 200);
  }
  await cluster.stop();
  await ended; // at the end of its input

  const files = readdirSync(logs).filter((name) => name.startsWith('@') || name === 'current');
  assert.ok(files.length > 5, files.join());
  // Names of rotated files are times; `current` is the newest.
  const inOrder = files.sort((a, b) => (a === 'current' ? 1 : b === 'current' ? -1 : a < b ? -1 : 1));
  const lines = inOrder.flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n').filter(Boolean));
  const parsed = lines.map((line) => JSON.parse(line) as LogLine);
  const told = parsed.filter(({ msg, url_path }) => msg === 'Proxied request' && url_path === '/k8s-proxy/fine');
  assert.deepEqual(
    told.map(({ correlation_id }) => correlation_id),
    Array.from({ length: REQUESTS }, (_, i) => `request-${i}`),
  );
});

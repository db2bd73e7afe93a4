import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { recordingLog } from '../../test/support/recording_log.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createLimits } from './limits.ts';

function setUp() {
  const registry = new Registry();
  const { log, lines } = recordingLog();
  const clock = new FakeClock();
  const hit = createLimits(registry, log, clock).hit('connections', 'agent_api', 'server.limits.connections', 5);
  const sample = 'gitlab_kas_limit_exceeded_total{limit="connections",listener="agent_api"}';
  const shows = async (value: number) => {
    const page = await registry.metrics();
    assert.ok(page.includes(`${sample} ${value}\n`), page);
  };
  return { lines, clock, hit, shows };
}

test('there is a sample before anything was refused', async () => {
  await setUp().shows(0);
});

test('each refusal counts, few are logged', async () => {
  const { hit, clock, lines, shows } = setUp();
  for (let i = 0; i < 4; i++) hit();
  await shows(4);
  assert.equal(lines.length, 1);
  clock.advance(9999);
  hit();
  assert.equal(lines.length, 1);
  clock.advance(1);
  hit();
  await shows(6);
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields.count]),
    [
      ['warn', 'Limit reached', 1],
      ['warn', 'Limit reached', 5],
    ],
  );
  assert.deepEqual(lines[0]?.fields, {
    limit: 'connections',
    listener: 'agent_api',
    max: 5,
    count: 1,
    hint: 'server.limits.connections is the limit',
  });
});

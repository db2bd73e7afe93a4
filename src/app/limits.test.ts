import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { recordingLog } from '../../test/support/recording_log.ts';
import type { LimitsConfig } from '../config/config.ts';
import { createLimits } from '../observability/limits.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createOpenConnections, observabilityLimits } from './limits.ts';

const config = { connectionsPerListener: 16_000 } as LimitsConfig;

test('an eighth of the file descriptors is kept, 64 to 1024; who has few is told so', () => {
  for (const [files, max, warned] of [
    [256, 192, true],
    [1024, 896, true],
    [16_000, 14_976, true],
    [20_000, 18_976, false],
    [1_048_576, 1_047_552, false],
    [10, 1, true],
  ] as const) {
    const { log, lines } = recordingLog();
    assert.equal(createOpenConnections(config, log, files).max, max);
    assert.equal(lines.length > 0, warned, String(files));
  }
});

test('probes have connections of their own, also where there are few', () => {
  const { log } = recordingLog();
  const clock = new FakeClock();
  for (const [files, connections] of [
    [256, 32],
    [4096, 256],
    [1_048_576, 512],
  ] as const) {
    const limited = observabilityLimits(config, createLimits(new Registry(), log, clock), files);
    assert.deepEqual([limited.connections, limited.shared, limited.newcomerMs], [connections, undefined, undefined]);
  }
});

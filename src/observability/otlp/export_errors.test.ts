import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { ExportErrors } from './export_errors.ts';

test('a collector that stays away is told of once a minute', () => {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const errors = new ExportErrors('http://otel.example/v1/traces', clock, log);
  errors.report(new Error('first'));
  errors.report(new Error('second'));
  clock.advance(59_999);
  errors.report(new Error('third'));
  assert.equal(lines.length, 1);
  clock.advance(1);
  errors.report(new AggregateError([new Error('refused ::1'), new Error('refused 127.0.0.1')]));
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields?.error, fields?.untold]),
    [
      ['warn', 'OpenTelemetry error', 'traces export: POST http://otel.example/v1/traces: first', undefined],
      [
        'warn',
        'OpenTelemetry error',
        'traces export: POST http://otel.example/v1/traces: refused ::1, refused 127.0.0.1',
        2,
      ],
    ],
  );
});

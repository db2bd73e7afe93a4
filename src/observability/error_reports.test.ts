import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../test/support/recording_log.ts';
import { reportErrors } from './error_reports.ts';
import type { Fields } from './log.ts';

test('lines at error are logged as ever, and reported with the fields of their context', () => {
  const { log, lines } = recordingLog();
  const reports: [string, Fields][] = [];
  const reporting = reportErrors(log, (message, fields) => reports.push([message, fields]));
  const about = reporting.with({ mod_name: 'm' }).with({ agent_id: 1n });
  about.error('Failed', { error: 'why', hint: 'do' });
  about.warn('Odd');
  about.info('Fine');
  about.debug('Detail');
  reporting.error('Alone', { hint: 'do' });
  assert.deepEqual(reports, [
    ['Failed', { mod_name: 'm', agent_id: 1n, error: 'why', hint: 'do' }],
    ['Alone', { hint: 'do' }],
  ]);
  assert.deepEqual(
    lines.map(({ level, message }) => `${level} ${message}`),
    ['error Failed', 'warn Odd', 'info Fine', 'debug Detail', 'error Alone'],
  );
});

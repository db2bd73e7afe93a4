import assert from 'node:assert/strict';
import type { Fields, Level, Log } from '../../src/observability/log.ts';

export interface RecordedLine {
  readonly level: Level;
  readonly message: string;
  readonly fields: Fields;
}

/** A log that keeps its lines, debug ones included, for tests to look at. */
export function recordingLog(): { readonly log: Log; readonly lines: RecordedLine[] } {
  const lines: RecordedLine[] = [];
  const logWith = (context: Fields): Log => {
    const record = (level: Level) => (message: string, fields?: Fields) => {
      lines.push({ level, message, fields: { ...context, ...fields } });
    };
    return {
      debugEnabled: true,
      debug: record('debug'),
      info: record('info'),
      warn: record('warn'),
      error: record('error'),
      with: (fields) => logWith({ ...context, ...fields }),
    };
  };
  return { log: logWith({}), lines };
}

/** The lines without the id that each of them must have, for those who cannot know it. */
export function withoutCorrelation(lines: readonly RecordedLine[]): RecordedLine[] {
  return lines.map(({ fields: { correlation_id: id, ...fields }, ...line }) => {
    assert.match(String(id), /^[0-9A-Z]{26}$/, `${line.message} has no correlation_id`);
    return { ...line, fields };
  });
}

import type { Log } from '../../src/observability/log.ts';

/** A log that forgets everything, for tests that are not about logging. */
export const silentLog: Log = {
  debugEnabled: false,
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

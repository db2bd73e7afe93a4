import type { Fields, Log } from './log.ts';

/** Hears of an error: the line's message and all its fields, those of its context first. Must not throw. */
export type ReportError = (message: string, fields: Fields) => void;

/** A log whose lines at error are also reported elsewhere. */
export function reportErrors(log: Log, report: ReportError, context: Fields = {}): Log {
  return {
    debugEnabled: log.debugEnabled,
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => log.info(message, fields),
    warn: (message, fields) => log.warn(message, fields),
    error(message, fields) {
      log.error(message, fields);
      report(message, { ...context, ...fields });
    },
    with: (fields) => reportErrors(log.with(fields), report, { ...context, ...fields }),
  };
}

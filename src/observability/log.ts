/** Fields of one log line. Values must be plain data; secrets never get here (docs/protocol/logs.md). */
export type Fields = Record<string, unknown>;

/** Fields of an error's line: `hint` says what to do next, and which key or variable it concerns. */
export type ErrorFields = Fields & { readonly hint: string };

export type Level = 'debug' | 'info' | 'warn' | 'error';

/** Writes JSON lines with upstream's field names (spec: `level`, `time`, `msg`, context fields, call fields). */
export interface Log {
  /** Ask before building the fields of a debug line. */
  readonly debugEnabled: boolean;
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields: ErrorFields): void;
  /** A log whose lines all carry `fields`. */
  with(fields: Fields): Log;
}

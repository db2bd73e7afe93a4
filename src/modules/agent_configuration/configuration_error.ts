import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** A file may be one text of 128 KiB, or be wrong in thousands of places: who reads of it needs the beginning. */
const MAX_TEXT = 2048;

/** What is wrong with an agent's configuration file: its author's to correct, and of no use to try again. */
export class ConfigurationError extends AppError {
  /** Where in the file, counted from 1; undefined if the whole file is to blame. */
  readonly line: number | undefined;

  constructor(message: string, line?: number, cause?: unknown) {
    super(StatusCode.FailedPrecondition, message.length > MAX_TEXT ? `${message.slice(0, MAX_TEXT)}...` : message, {
      cause,
    });
    this.name = 'ConfigurationError';
    this.line = line;
  }
}

import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** What is wrong with an agent's configuration file: its author's to correct, and of no use to try again. */
export class ConfigurationError extends AppError {
  /** Where in the file, counted from 1; undefined if the whole file is to blame. */
  readonly line: number | undefined;

  constructor(message: string, line?: number, cause?: unknown) {
    super(StatusCode.FailedPrecondition, message, { cause });
    this.name = 'ConfigurationError';
    this.line = line;
  }
}

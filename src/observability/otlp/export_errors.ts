import { errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../log.ts';
import { NowAndThen } from '../now_and_then.ts';

/** At most one line in this time: batches fail every few seconds for as long as a collector is away. */
const QUIET_MS = 60_000;

/** Tells the log that spans did not get through, now and then. */
export class ExportErrors {
  readonly #endpoint: string;
  readonly #lines: NowAndThen;
  readonly #log: Log;
  #untold = 0;

  /** @param endpoint without credentials */
  constructor(endpoint: string, clock: Clock, log: Log) {
    this.#endpoint = endpoint;
    this.#lines = new NowAndThen(clock, QUIET_MS);
    this.#log = log;
  }

  report(error: unknown): void {
    if (!this.#lines.due) {
      this.#untold++;
      return;
    }
    this.#log.warn('OpenTelemetry error', {
      error: `traces export: POST ${this.#endpoint}: ${exportErrorText(error)}`,
      hint: 'is observability.tracing.otlp_endpoint right, path included, and does a collector listen there?',
      ...(this.#untold > 0 && { untold: this.#untold }),
    });
    this.#untold = 0;
  }
}

/** The exporter's errors have the status as `code`; a name with several addresses has an error for each and no text. */
function exportErrorText(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(errorText).join(', ');
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? `HTTP status code: ${code}` : errorText(error);
}

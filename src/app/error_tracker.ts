import process from 'node:process';
import type { ObservabilityConfig } from '../config/config.ts';
import { trustedRoots } from '../net/trusted_roots.ts';
import { reportErrors } from '../observability/error_reports.ts';
import type { Log } from '../observability/log.ts';
import { buildInfo } from '../runtime/build_info.ts';
import type { Clock } from '../runtime/clock.ts';

/** A log, and what has to be done before the end so that nothing of it gets lost. */
interface ReportedLog {
  readonly log: Log;
  flush(): Promise<void>;
}

/**
 * Has lines at error reported to Sentry too, if it is configured or the environment names one. Its library is only loaded then.
 * @throws AppError if the DSN is none
 */
export async function openErrorTracker(options: {
  readonly config: ObservabilityConfig['sentry'];
  readonly clock: Clock;
  readonly log: Log;
}): Promise<ReportedLog> {
  const { config, clock, log } = options;
  const { env } = process;
  const dsn = config.dsn || env.SENTRY_DSN || '';
  if (dsn === '') return { log, flush: () => Promise.resolve() };
  const { createSentryReporter } = await import('../observability/sentry/sentry_reporter.ts');
  const reporter = createSentryReporter({
    dsn,
    environment: config.environment || env.SENTRY_ENVIRONMENT || '',
    release: env.SENTRY_RELEASE || buildInfo.version,
    env,
    ca: dsn.startsWith('https:') ? trustedRoots(env, undefined) : [],
    clock,
    log,
  });
  return { log: reportErrors(log, reporter.report), flush: () => reporter.flush() };
}

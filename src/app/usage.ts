import type { Config } from '../config/config.ts';
import type { GitLabClient } from '../gitlab/client.ts';
import { UsageReporter } from '../modules/usage_metrics/usage_reporter.ts';
import type { Log } from '../observability/log.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Store } from '../store/store.ts';
import type { UsageCounters } from '../store/usage_counters.ts';

/** Where usage is counted, and how what was counted gets to GitLab before the process ends. */
export interface Usage {
  readonly counters: UsageCounters;
  flush(): Promise<void>;
}

/** For servers of whose usage nobody wants to know. */
export const uncounted: Usage = {
  counters: { increment() {}, addUnique() {}, addUserEvent() {}, addEvent() {} },
  flush: () => Promise.resolve(),
};

/** Whether GitLab is told of usage at all. */
export function isUsageReported({ gitlab, observability }: Config): boolean {
  return gitlab !== undefined && observability.usageReportingPeriodMs > 0;
}

/** Begins to report usage, if there is a GitLab and the configuration does not forbid it. */
export function startUsageReports(options: {
  readonly config: Config;
  /** Undefined: the server stands alone. */
  readonly gitlab: GitLabClient | undefined;
  readonly store: Pick<Store, 'usageCounters'>;
  readonly scope: Scope;
  readonly log: Log;
}): Usage {
  const { config, gitlab, store, scope } = options;
  const periodMs = config.observability.usageReportingPeriodMs;
  if (gitlab === undefined || !isUsageReported(config)) return uncounted;
  const log = options.log.with({ mod_name: 'usage_metrics' });
  const reporter = new UsageReporter({ gitlab, usage: store.usageCounters, periodMs, log }, scope);
  reporter.start();
  return { counters: store.usageCounters, flush: () => reporter.flush() };
}

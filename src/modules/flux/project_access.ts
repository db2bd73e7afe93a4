import { LookupCache } from '../../auth/lookup_cache.ts';
import type { CallOptions, GitLabClient } from '../../gitlab/client.ts';
import type { Log } from '../../observability/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ErrorCache } from '../../store/error_cache.ts';

/** Both answers, "may" and "may not", live equally long: they are what GitLab was asked. */
const TTL_MS = 5 * 60_000;
const ERROR_TTL_MS = 60_000;

/** Whether agents may read projects, as GitLab says; remembered for each pair (docs/protocol/flux.md). */
export class ProjectAccess {
  readonly #gitlab: Pick<GitLabClient, 'verifyProjectAccess'>;
  readonly #cache: LookupCache<boolean>;

  constructor(deps: {
    readonly gitlab: Pick<GitLabClient, 'verifyProjectAccess'>;
    readonly clock: Clock;
    readonly errors: ErrorCache;
    readonly log: Log;
  }) {
    this.#gitlab = deps.gitlab;
    this.#cache = new LookupCache(
      { errorKind: 'verify_project_access_errs', ttlMs: TTL_MS, errorTtlMs: ERROR_TTL_MS },
      deps,
    );
  }

  /** Rejects if that could not be found out, or with the signal's reason when it fires. */
  mayRead(token: string, projectPath: string, options: CallOptions): Promise<boolean> {
    const key = `${token.length}:${token}${projectPath}`;
    return this.#cache.get(
      {
        key,
        ask: (asking) => this.#gitlab.verifyProjectAccess(token, projectPath, { ...options, signal: asking }),
      },
      options.signal,
    );
  }
}

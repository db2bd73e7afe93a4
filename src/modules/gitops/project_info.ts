import { LookupCache } from '../../auth/lookup_cache.ts';
import type { RepositoryAt } from '../../gitaly/client.ts';
import type { CallOptions, GitLabClient } from '../../gitlab/client.ts';
import { GitLabError } from '../../gitlab/gitlab_error.ts';
import type { Log } from '../../observability/log.ts';
import { AppError } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { ErrorCache } from '../../store/error_cache.ts';

/** Where a project's manifests are. */
export interface ProjectInfo extends RepositoryAt {
  readonly id: bigint;
}

/** Where projects are that agents may read; remembered for each pair (docs/protocol/gitops.md). */
export class ProjectInfos {
  readonly #gitlab: Pick<GitLabClient, 'projectInfo'>;
  readonly #cache: LookupCache<ProjectInfo>;

  constructor(deps: {
    readonly gitlab: Pick<GitLabClient, 'projectInfo'>;
    readonly ttlMs: number;
    readonly errorTtlMs: number;
    readonly clock: Clock;
    readonly errors: ErrorCache;
    readonly log: Log;
  }) {
    this.#gitlab = deps.gitlab;
    const { ttlMs, errorTtlMs } = deps;
    this.#cache = new LookupCache({ errorKind: 'project_info_errs', ttlMs, errorTtlMs }, deps);
  }

  /**
   * Rejects with AppError: Unauthenticated, PermissionDenied, NotFound if GitLab refuses, Unavailable if that could not be
   * found out; with the signal's reason when it fires.
   */
  async get(token: string, projectPath: string, options: CallOptions): Promise<ProjectInfo> {
    const key = `${token.length}:${token}${projectPath}`;
    const ask = async (asking: AbortSignal) => {
      const answer = await this.#gitlab.projectInfo(token, projectPath, { ...options, signal: asking });
      const { projectId: id, gitalyInfo: gitaly, gitalyRepository: repository } = answer;
      if (gitaly === undefined || repository === undefined) throw new AppError(StatusCode.Internal, 'no repository');
      return { id, gitaly, repository };
    };
    try {
      return await this.#cache.get({ key, ask }, options.signal);
    } catch (error) {
      if (options.signal.aborted) throw error;
      throw refusal(error) ?? new AppError(StatusCode.Unavailable, 'unavailable', { cause: error });
    }
  }
}

function refusal(error: unknown): AppError | undefined {
  if (!(error instanceof GitLabError)) return undefined;
  const options = { cause: error };
  if (error.status === 401) return new AppError(StatusCode.Unauthenticated, 'unauthenticated', options);
  if (error.status === 403) return new AppError(StatusCode.PermissionDenied, 'forbidden', options);
  if (error.status === 404) return new AppError(StatusCode.NotFound, 'project not found', options);
  return undefined;
}

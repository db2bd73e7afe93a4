import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type GetAgentInfoResponse, GetAgentInfoResponseSchema } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { CallOptions, GitLabClient } from '../gitlab/client.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { abortError } from './abort_error.ts';
import type { AgentAuthenticator, AgentInfo } from './agent_authenticator.ts';
import { LookupCache, type Sharing } from './lookup_cache.ts';
import type { AnswerSeal } from './sealed_answer.ts';

/** Asks GitLab who an agent is (docs/protocol/authentication.md). */
export class GitLabAgentAuthenticator implements AgentAuthenticator {
  readonly #gitlab: Pick<GitLabClient, 'agentInfo'>;
  readonly #log: Log;
  readonly #cache: LookupCache<AgentInfo>;

  constructor(deps: {
    readonly gitlab: Pick<GitLabClient, 'agentInfo'>;
    readonly infoCacheTtlMs: number;
    readonly infoCacheErrorTtlMs: number;
    readonly clock: Clock;
    readonly errors: ErrorCache;
    readonly log: Log;
    /** For what goes to other nodes; undefined where there are none. */
    readonly seal?: AnswerSeal | undefined;
  }) {
    this.#gitlab = deps.gitlab;
    this.#log = deps.log;
    this.#cache = new LookupCache(
      {
        errorKind: 'agent_info_errs',
        ttlMs: deps.infoCacheTtlMs,
        errorTtlMs: deps.infoCacheErrorTtlMs,
        sharing: deps.seal && sharingBy(deps.seal),
      },
      deps,
    );
  }

  peek(token: string): AgentInfo | undefined {
    return this.#cache.peek(token);
  }

  /** This node leaves: the nodes that its agents go to are to know what it knows. Never rejects. */
  async handOver(): Promise<void> {
    const agents = await this.#cache.handOver();
    if (agents > 0) this.#log.info('Handed over what GitLab said of agents', { agents });
  }

  async authenticate(token: string, options: CallOptions): Promise<AgentInfo> {
    try {
      return await this.#cache.get(
        {
          key: token,

          ask: (asking) => this.#ask(token, { ...options, signal: asking }),
        },
        options.signal,
      );
    } catch (error) {
      if (options.signal.aborted) throw abortError(options.signal);
      throw refusal(error) ?? new AppError(StatusCode.Unavailable, 'unavailable', { cause: error });
    }
  }

  /** Logs here and not where the error arrives: many agents may wait for one answer. */
  async #ask(token: string, options: CallOptions): Promise<AgentInfo> {
    try {
      return agentInfoOf(await this.#gitlab.agentInfo(token, options));
    } catch (error) {
      if (!options.signal.aborted && refusal(error) === undefined) {
        const hint = error instanceof AppError ? error.hint : undefined;
        this.#log.error('GetAgentInfo()', {
          ...(options.method !== undefined && methodFields(options.method)),
          error: errorText(error),
          hint: hint ?? Hint.gitlab,
          correlation_id: options.correlationId,
          trace_id: options.span?.traceId,
        });
      }
      throw error;
    }
  }
}

/** In the form in which GitLab's answer came. */
function sharingBy(seal: AnswerSeal): Sharing<AgentInfo> {
  return {
    kind: 'agent_info',
    seal,
    encode: (agent) => toBinary(GetAgentInfoResponseSchema, answerOf(agent)),
    decode: (bytes) => agentInfoOf(fromBinary(GetAgentInfoResponseSchema, bytes)),
  };
}

function answerOf({ id, projectId, projectPath, name, repository: found }: AgentInfo): GetAgentInfoResponse {
  return create(GetAgentInfoResponseSchema, {
    agentId: id,
    projectId,
    agentName: name,
    gitalyRepository: found?.repository ?? { glProjectPath: projectPath },
    ...(found && { gitalyInfo: found.gitaly, defaultBranch: found.defaultBranch }),
  });
}

function agentInfoOf(answer: GetAgentInfoResponse): AgentInfo {
  const { gitalyInfo, gitalyRepository } = answer;
  return {
    id: answer.agentId,
    projectId: answer.projectId,
    name: answer.agentName,
    projectPath: gitalyRepository?.glProjectPath ?? '',
    repository: gitalyInfo &&
      gitalyRepository && { gitaly: gitalyInfo, repository: gitalyRepository, defaultBranch: answer.defaultBranch },
  };
}

function refusal(error: unknown): AppError | undefined {
  if (!(error instanceof GitLabError)) return undefined;
  switch (error.status) {
    case 401:
      return new AppError(StatusCode.Unauthenticated, 'unauthenticated', { cause: error });
    case 403:
      return new AppError(StatusCode.PermissionDenied, 'forbidden', { cause: error });
    case 404:
      return new AppError(StatusCode.NotFound, 'agent not found', { cause: error });
    default:
      return undefined;
  }
}

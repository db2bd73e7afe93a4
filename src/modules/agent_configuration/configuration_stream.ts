import type { MessageShape } from '@bufbuild/protobuf';
import type { AgentAuthenticator, AgentInfo } from '../../auth/agent_authenticator.ts';
import type { ConfigurationRequestSchema } from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import type { CallOptions } from '../../gitlab/client.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import type { NowAndThen } from '../../observability/now_and_then.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { Backoff, type BackoffOptions } from '../../runtime/backoff.ts';
import { PollLoop } from '../../runtime/poll_loop.ts';
import type { Random } from '../../runtime/random.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { ConfigurationError } from './configuration_error.ts';
import {
  type AgentWithRepository,
  branchRef,
  type ConfigurationSource,
  configurationPath,
} from './configuration_source.ts';
import type { ConfigurationSources } from './configuration_sources.ts';
import type { StreamRegistration } from './stream_registration.ts';

const BACKOFF = { initMs: 10_000, maxMs: 60_000, resetMs: 120_000, factor: 2, jitter: 1 };
/** GitLab is back sooner than that as a rule, and each question is one for each agent. */
const GITLAB_BACKOFF = { initMs: 2000, maxMs: 20_000, resetMs: 60_000, factor: 2, jitter: 1 };
/** A Gitaly that is away is asked again soon and steadily: its rate limits hold the askers apart. */
const UNAVAILABLE_RETRY_MS = 1000;
const OVER_LIMIT_HINT =
  'more agents wait than gitaly.per_server_api_rate_limit and gitaly.global_api_rate_limit let Gitaly be asked for in a minute; each is asked for again';

export interface StreamDeps {
  readonly agents: AgentAuthenticator;
  readonly sources: ConfigurationSources;
  readonly pollPeriodMs: number;
  readonly random: Random;
  readonly log: Log;
  /** When it is told that Gitaly may not be asked any oftener: of thousands of agents all are refused at once. */
  readonly overLimit: NowAndThen;
}

/** One pod's GetConfiguration: polls until the call is over (docs/protocol/agent_configuration.md). */
export class ConfigurationStream {
  readonly #deps: StreamDeps;
  readonly #call: ServerCall;
  readonly #token: string;
  readonly #scope: Scope;
  readonly #loop: PollLoop;
  #backoff: Backoff | undefined;
  #gitlabBackoff: Backoff | undefined;
  readonly #registration: StreamRegistration | undefined;
  #lastCommitId: string;
  #lastFailure = '';
  #bound:
    | { readonly source: ConfigurationSource; readonly projectPath: string; readonly unbind: () => void }
    | undefined;

  constructor(
    deps: StreamDeps,
    call: ServerCall,
    token: string,
    request: MessageShape<typeof ConfigurationRequestSchema>,
    registration: StreamRegistration | undefined,
  ) {
    this.#deps = deps;
    this.#call = call;
    this.#token = token;
    this.#lastCommitId = request.commitId;
    this.#registration = registration;
    this.#scope = call.session.scope.child();
    this.#loop = new PollLoop(this.#scope);
  }

  /** Resolves when the call is over; rejects with AppError for the status to end it with. */
  async run(): Promise<void> {
    const end = () => this.#scope.close();
    try {
      this.#call.onOver(end);
      await this.#loop.run(() => this.#scope.during((signal) => this.#round(this.#call.onBehalf(signal))));
    } catch (error) {
      if (!this.#scope.closed) throw error;
    } finally {
      end();
      this.#unbind();
      this.#registration?.end();
    }
  }

  /** Returns how long to wait for the next one, in milliseconds. */
  async #round(asking: CallOptions): Promise<number> {
    const { log: base, pollPeriodMs } = this.#deps;
    const agent = await this.#authenticate(asking);
    if (typeof agent === 'number') return agent;
    if (!hasRepository(agent)) return pollPeriodMs;
    const log = base.with({ agent_id: agent.id, project_id: agent.projectPath, ...this.#call.trail() });
    const source = this.#bind(agent);
    await this.#registration?.renew(agent, log);
    const commitId = await this.#newCommit(source, agent, log, asking);
    if (typeof commitId === 'number') return commitId;
    const response = await this.#fetch(source, agent, commitId, log, asking);
    if (typeof response === 'number') return response;
    this.#call.write(response);
    this.#lastCommitId = commitId;
    return pollPeriodMs;
  }

  /** The agent, looked up each time: tokens are revoked and projects move. How long to wait if GitLab cannot say. */
  async #authenticate(asking: CallOptions): Promise<AgentInfo | number> {
    const { agents } = this.#deps;
    try {
      return (
        agents.peek(this.#token) ?? (await agents.authenticate(this.#token, { ...asking, method: this.#call.path }))
      );
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== StatusCode.Unavailable) throw error;
      this.#gitlabBackoff ??= this.#newBackoff(GITLAB_BACKOFF);
      return this.#gitlabBackoff.nextMs();
    }
  }

  /** The head, if the agent does not have it yet; otherwise how long to wait. */
  async #newCommit(
    source: ConfigurationSource,
    agent: AgentWithRepository,
    log: Log,
    asking: CallOptions,
  ): Promise<string | number> {
    const { pollPeriodMs } = this.#deps;
    const found = await this.#try('Config: repository poll failed', log, {}, () => source.head(agent, asking));
    if (typeof found === 'number') return found;
    if (found.kind === 'not found') {
      const error = new GitalyError('NotFound', 'InfoRefsUploadPack', { path: branchRef(agent) });
      throw new AppError(StatusCode.NotFound, `Config: repository poll failed: ${error.message}`);
    }
    if (found.kind === 'empty repository') {
      log.debug('Config: empty repository');
      return pollPeriodMs;
    }
    if (found.commitId !== this.#lastCommitId) return found.commitId;
    if (log.debugEnabled) log.debug('Config: no updates', { commit_id: found.commitId });
    return pollPeriodMs;
  }

  #fetch(
    source: ConfigurationSource,
    agent: AgentWithRepository,
    commitId: string,
    log: Log,
    asking: CallOptions,
  ): Promise<Uint8Array | number> {
    log.info('Config: new commit', { commit_id: commitId });
    const file = { commit_id: commitId, file: `.gitlab/agents/${agent.name}/config.yaml` };
    return this.#try('Config: failed to fetch', log, file, async () => {
      configurationPath(agent.name);
      return source.response(agent, commitId, log, asking);
    });
  }

  /**
   * The outcome, or how long to wait if there is none but may be one later. A failure that goes on is logged once.
   * @throws AppError with the status of a call whose agent's configuration is wrong
   */
  async #try<V>(failure: string, log: Log, fields: Record<string, unknown>, f: () => Promise<V>): Promise<V | number> {
    try {
      const outcome = await f();
      this.#lastFailure = '';
      return outcome;
    } catch (error) {
      if (this.#scope.closed) throw error;
      const text = errorText(error);
      if (error instanceof ConfigurationError) {
        log.info(failure, { error: text, ...fields, ...(error.line !== undefined && { line: error.line }) });
        throw new AppError(error.code, `Config: ${text}`, { cause: error });
      }
      const gitalyError = gitalyErrorOf(error);
      const overLimit = gitalyError?.overLimit === true;
      const hint = overLimit ? OVER_LIMIT_HINT : Hint.gitaly;
      if (overLimit ? this.#deps.overLimit.due : text !== this.#lastFailure) {
        log.error(failure, { error: text, hint, ...fields });
      } else log.debug(failure, { error: text, ...fields });
      this.#lastFailure = text;
      if (gitalyError?.unavailable) return UNAVAILABLE_RETRY_MS * (1 + this.#deps.random.fraction());
      this.#backoff ??= this.#newBackoff(BACKOFF);
      return this.#backoff.nextMs();
    }
  }

  #newBackoff(options: BackoffOptions): Backoff {
    return new Backoff(options, { clock: this.#scope.clock, random: this.#deps.random });
  }

  #bind(agent: AgentWithRepository): ConfigurationSource {
    const { projectPath } = agent;
    if (this.#bound?.projectPath === projectPath) return this.#bound.source;
    this.#unbind();
    const { sources } = this.#deps;
    const source = sources.of(agent.id);
    source.join(this.#loop);
    const unwatch = sources.watch(projectPath, source);
    const unbind = () => {
      unwatch();
      source.leave(this.#loop);
      sources.release(agent.id);
    };
    this.#bound = { source, projectPath, unbind };
    return source;
  }

  #unbind(): void {
    this.#bound?.unbind();
    this.#bound = undefined;
  }
}

function hasRepository(agent: AgentInfo): agent is AgentWithRepository {
  return agent.repository !== undefined;
}

function gitalyErrorOf(error: unknown): GitalyError | undefined {
  const cause = error instanceof GitalyError ? error : (error as Error).cause;
  return cause instanceof GitalyError ? cause : undefined;
}

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type ObjectsToSynchronizeRequest,
  ObjectsToSynchronizeResponseSchema,
} from '../../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import type { GitalyClient } from '../../gitaly/client.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import type { CallOptions } from '../../gitlab/client.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { Backoff } from '../../runtime/backoff.ts';
import type { Random } from '../../runtime/random.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { UsageCounters } from '../../store/usage_counters.ts';
import { GlobError } from './glob.ts';
import { ManifestError, type ManifestLimits, Manifests } from './manifests.ts';
import type { ProjectInfo, ProjectInfos } from './project_info.ts';
import { refName } from './request.ts';

const BACKOFF = { initMs: 10_000, maxMs: 300_000, resetMs: 600_000, factor: 2, jitter: 1 };
/** A Gitaly that is away is asked again soon and steadily: its rate limits hold the askers apart. */
const UNAVAILABLE_RETRY_MS = 1000;
const PROJECT_HINT =
  "see whether the project of the agent's manifest_projects exists and the agent may read it; the request in GitLab's log has the same correlation_id";
const FAILED = 'GitOps: failed to get objects to synchronize';

export interface SynchronizationDeps {
  readonly projects: Pick<ProjectInfos, 'get'>;
  readonly gitaly: Pick<GitalyClient, 'findRef' | 'listFiles' | 'readFile'>;
  readonly usage: Pick<UsageCounters, 'increment'>;
  readonly limits: ManifestLimits;
  readonly pollPeriodMs: number;
  readonly random: Random;
}

/** One GetObjectsToSynchronize: waits for a commit that the agent does not have, and sends it (docs/protocol/gitops.md). */
export class Synchronization {
  readonly #deps: SynchronizationDeps;
  readonly #call: ServerCall;
  readonly #token: string;
  readonly #request: ObjectsToSynchronizeRequest;
  /** Undefined: one commit is wanted for ever. */
  readonly #ref: string | undefined;
  readonly #scope: Scope;
  readonly #asking: CallOptions;
  readonly #log: Log;
  readonly #backoff: Backoff;
  #lastFailure = '';
  /** From the header to the trailer: agents take an end in between for a defect. */
  sending = false;

  /** @param scope is closed when the call is over */
  constructor(
    deps: SynchronizationDeps,
    call: ServerCall,
    token: string,
    request: ObjectsToSynchronizeRequest,
    scope: Scope,
    log: Log,
  ) {
    this.#deps = deps;
    this.#call = call;
    this.#token = token;
    this.#request = request;
    this.#ref = refName(request.ref);
    this.#scope = scope;
    this.#asking = call.onBehalf(scope.signal);
    this.#log = log.with({ git_ref: this.#ref ?? request.ref?.ref.value });
    this.#backoff = new Backoff(BACKOFF, { clock: scope.clock, random: deps.random });
  }

  /**
   * Looks once, and sends what is new.
   * @returns how long to wait before looking again, in milliseconds; undefined when all is sent
   */
  async round(): Promise<number | undefined> {
    const { pollPeriodMs } = this.#deps;
    const project = await this.#project();
    if (typeof project === 'number') return project;
    const commitId = await this.#commit(project);
    if (typeof commitId === 'number') return commitId;
    if (commitId === this.#request.commitId) {
      if (this.#log.debugEnabled) this.#log.debug('GitOps: no updates', { commit_id: commitId });
      if (this.#ref !== undefined) return pollPeriodMs;
      await closed(this.#scope); // there never will be any
      return undefined;
    }
    await this.#send(project, commitId);
    return undefined;
  }

  /** Looked up each time: tokens are revoked and projects move. */
  async #project(): Promise<ProjectInfo | number> {
    try {
      return await this.#deps.projects.get(this.#token, this.#request.projectId, this.#asking);
    } catch (error) {
      if (this.#scope.closed) throw error;
      const cause = error instanceof AppError ? error.cause : undefined;
      this.#failed('GitOps: failed to get project info', errorText(cause ?? error), 'warn');
      if (!(error instanceof AppError) || error.code !== StatusCode.Unavailable) throw error;
      return this.#backoff.nextMs();
    }
  }

  async #commit(project: ProjectInfo): Promise<string | number> {
    const { gitaly, pollPeriodMs, random } = this.#deps;
    if (this.#ref === undefined) return this.#request.ref?.ref.value ?? '';
    try {
      const found = await gitaly.findRef(project, this.#ref, this.#asking);
      this.#lastFailure = '';
      if (found.kind === 'found') return found.commitId;
      if (found.kind === 'empty repository') {
        this.#log.debug('GitOps: empty repository');
        return pollPeriodMs;
      }
    } catch (error) {
      if (this.#scope.closed) throw error;
      this.#failed('GitOps: repository poll failed', errorText(error), 'error');
      if (!(error instanceof GitalyError && error.unavailable)) return this.#backoff.nextMs();
      return UNAVAILABLE_RETRY_MS * (1 + random.fraction());
    }
    const error = new GitalyError('NotFound', 'InfoRefsUploadPack', { path: this.#ref });
    throw new AppError(StatusCode.NotFound, `GitOps: repository poll failed: ${error.message}`);
  }

  async #send(project: ProjectInfo, commitId: string): Promise<void> {
    const { gitaly, limits, usage } = this.#deps;
    const log = this.#log.with({ commit_id: commitId });
    log.info('GitOps: new commit');
    this.sending = true;
    await this.#write({ case: 'header', value: { commitId, projectId: project.id } });
    const manifests = new Manifests({
      gitaly,
      at: project,
      limits,
      send: (source, data) => this.#write({ case: 'object', value: { source, data } }),
      asking: this.#asking,
    });
    try {
      await manifests.fetch(commitId, this.#request.paths);
    } catch (error) {
      if (this.#scope.closed) throw error;
      const text = errorText(error);
      if (!isUsersError(error)) {
        log.error(FAILED, { error: text, hint: Hint.gitaly });
        throw new AppError(StatusCode.Unavailable, FAILED, { cause: error });
      }
      log.info(FAILED, { error: text });
      throw new AppError(StatusCode.FailedPrecondition, `${FAILED}: manifest file: ${text}`, { cause: error });
    }
    await this.#write({ case: 'trailer', value: {} });
    log.info('GitOps: fetched files', { files_visited: manifests.visited, files_sent: manifests.sent });
    usage.increment('gitops_sync');
  }

  async #write(
    message: NonNullable<MessageInitShape<typeof ObjectsToSynchronizeResponseSchema>['message']>,
  ): Promise<void> {
    const bytes = toBinary(ObjectsToSynchronizeResponseSchema, create(ObjectsToSynchronizeResponseSchema, { message }));
    if (!this.#call.write(bytes)) {
      await Promise.race([new Promise<void>((resolve) => this.#call.onDrain(resolve)), closed(this.#scope)]);
    }
    if (this.#scope.closed) throw this.#scope.reason;
  }

  /** A failure that goes on is logged once. */
  #failed(message: string, error: string, level: 'warn' | 'error'): void {
    const repeated = error === this.#lastFailure;
    this.#lastFailure = error;
    const hint = level === 'warn' ? PROJECT_HINT : Hint.gitaly;
    this.#log[repeated ? 'debug' : level](message, { error, hint });
  }
}

function closed(scope: Scope): Promise<void> {
  return new Promise((resolve) => scope.own({ close: () => resolve() }));
}

function isUsersError(error: unknown): boolean {
  if (error instanceof GlobError || error instanceof ManifestError) return true;
  if (!(error instanceof GitalyError)) return false;
  return ['NotFound', 'FileTooBig', 'UnexpectedTreeEntryType', 'InvalidArgument'].includes(error.kind);
}

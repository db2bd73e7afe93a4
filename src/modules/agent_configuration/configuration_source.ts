import { createHash } from 'node:crypto';
import { create, type JsonObject, toBinary } from '@bufbuild/protobuf';
import type { AgentInfo } from '../../auth/agent_authenticator.ts';
import { SharedFlight } from '../../auth/shared_flight.ts';
import { ConfigurationResponseSchema } from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import type { GitalyClient } from '../../gitaly/client.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import type { Discovered } from '../../gitaly/reference_discovery.ts';
import type { CallOptions, GitLabClient } from '../../gitlab/client.ts';
import { GitLabError } from '../../gitlab/gitlab_error.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import type { PollLoop } from '../../runtime/poll_loop.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { ConfigurationError } from './configuration_error.ts';
import { type Configuration, parseConfiguration } from './parse_configuration.ts';
import { placeOf, type RepositoryHeads } from './repository_heads.ts';

export interface SourceDeps {
  readonly gitaly: Pick<GitalyClient, 'findRef' | 'readFile'>;
  readonly gitlab: Pick<GitLabClient, 'postAgentConfiguration'>;
  readonly maxFileBytes: number;
  readonly externalUrl: string;
  /** What goes on when an agent leaves ends with it. */
  readonly scope: Scope;
}

/** An agent whose configuration is in a repository. */
export type AgentWithRepository = AgentInfo & { readonly repository: NonNullable<AgentInfo['repository']> };

/**
 * The configuration of one agent, for all of its pods: what one of them has asked for the others need not ask again, and
 * GitLab is told once.
 */
export class ConfigurationSource {
  readonly #pollers = new Set<PollLoop>();
  readonly #deps: SourceDeps;
  readonly #heads: RepositoryHeads;
  /** Whose head was asked for last. */
  #agent: AgentWithRepository | undefined;
  #response: { readonly of: string; readonly flight: SharedFlight<Uint8Array> } | undefined;
  #ready: { readonly of: string; readonly bytes: Uint8Array } | undefined;
  /** The hash of what GitLab has been told. */
  #told = '';

  constructor(deps: SourceDeps, heads: RepositoryHeads) {
    this.#deps = deps;
    this.#heads = heads;
  }

  /** Whether nobody polls it any more. */
  get idle(): boolean {
    return this.#pollers.size === 0;
  }

  /** `poller` hears of pushes. For a pod that has just come all is looked at again, and GitLab told again. */
  join(poller: PollLoop): void {
    this.#pollers.add(poller);
    this.#ready = undefined;
    this.#told = '';
  }

  leave(poller: PollLoop): void {
    this.#pollers.delete(poller);
  }

  /** There was a push. */
  poke(): void {
    if (this.#agent !== undefined) this.#heads.outdate(this.#agent.repository, branchRef(this.#agent));
    for (const poller of this.#pollers) poller.poke();
  }

  /** The commit at the head of the branch that counts. Rejects like GitalyClient. */
  head(agent: AgentWithRepository, options: CallOptions): Promise<Discovered> {
    this.#agent = agent;
    return this.#heads.find(agent.repository, branchRef(agent), options);
  }

  /**
   * The message for the agent with its configuration at a commit, serialized.
   * Rejects with ConfigurationError, or AppError if the file could not be fetched.
   */
  response(agent: AgentWithRepository, commitId: string, log: Log, options: CallOptions): Promise<Uint8Array> {
    const of = `${placeOf(agent.repository)}\n${agent.name}\n${commitId}`;
    if (this.#ready?.of === of) return Promise.resolve(this.#ready.bytes);
    if (this.#response?.of !== of) {
      const flight = new SharedFlight(
        async (asking) => {
          const bytes = await this.#fetch(agent, commitId, log, { ...options, signal: asking });
          this.#ready = { of, bytes };
          return bytes;
        },
        (ended) => {
          if (this.#response?.flight === ended) this.#response = undefined;
        },
      );
      this.#response = { of, flight };
    }
    return this.#response.flight.join(options.signal);
  }

  async #fetch(agent: AgentWithRepository, commitId: string, log: Log, options: CallOptions): Promise<Uint8Array> {
    const path = configurationPath(agent.name);
    const ofFile = log.with({ commit_id: commitId, file: path });
    const text = await this.#readFile(agent, path, commitId, options);
    if (text === undefined) ofFile.info('Config: configuration file not found', { hint: notFoundHint(agent) });
    const configuration = parseConfiguration(text ?? new Uint8Array());
    warn(configuration, ofFile);
    this.#tellGitLab(agent.id, configuration.forGitLab, log, options);
    const { gitops, observability, ciAccess, containerScanning, remoteDevelopment, flux } = configuration.file;
    const response = create(ConfigurationResponseSchema, {
      commitId,
      configuration: {
        ...(gitops && { gitops }),
        ...(observability && { observability }),
        ...(ciAccess && { ciAccess }),
        ...(containerScanning && { containerScanning }),
        ...(remoteDevelopment && { remoteDevelopment }),
        ...(flux && { flux }),
        agentId: agent.id,
        projectId: agent.projectId,
        projectPath: agent.projectPath,
        gitlabExternalUrl: this.#deps.externalUrl,
      },
    });
    return toBinary(ConfigurationResponseSchema, response);
  }

  /** Undefined: there is no such file, which is as good as an empty one. */
  async #readFile(
    agent: AgentWithRepository,
    path: string,
    commitId: string,
    options: CallOptions,
  ): Promise<Uint8Array | undefined> {
    const { gitaly, maxFileBytes: maxBytes } = this.#deps;
    try {
      return await gitaly.readFile(agent.repository, { revision: commitId, path, maxBytes }, options);
    } catch (error) {
      if (!(error instanceof GitalyError)) throw error;
      if (error.kind === 'NotFound') return undefined;
      if (error.kind === 'FileTooBig' || error.kind === 'UnexpectedTreeEntryType') {
        throw new ConfigurationError(`agent configuration file: ${error.message}`, undefined, error);
      }
      throw new AppError(StatusCode.Unavailable, `fetch agent configuration: ${error.message}`, { cause: error });
    }
  }

  /** In the background: what GitLab makes of it never concerns the agent. */
  #tellGitLab(agentId: bigint, configuration: JsonObject, log: Log, asking: CallOptions): void {
    const hash = createHash('sha256').update(JSON.stringify(configuration)).digest('base64');
    if (hash === this.#told) return;
    this.#told = hash;
    const { gitlab, scope } = this.#deps;
    const options = { ...asking, signal: scope.signal };
    gitlab.postAgentConfiguration(agentId, configuration, options).catch((error: unknown) => {
      if (this.#told === hash) this.#told = '';
      if (scope.closed) return;
      if (error instanceof GitLabError && error.status === 404) {
        log.debug('Failed to notify GitLab of new agent configuration. Deleted agent?', { error: errorText(error) });
      } else {
        const fields = { error: errorText(error), hint: Hint.gitlab };
        log.error('Failed to notify GitLab of new agent configuration', fields);
      }
    });
  }
}

function notFoundHint({ repository: { defaultBranch } }: AgentWithRepository): string {
  return `the agent runs with an empty configuration; the file is looked for under this very name on the branch ${defaultBranch}`;
}

/** The reference that an agent's configuration is read at. */
export function branchRef({ repository: { defaultBranch } }: AgentWithRepository): string {
  return `refs/heads/${defaultBranch}`;
}

/**
 * Where an agent's configuration is.
 * @throws ConfigurationError if that would be anywhere else: names come from outside
 */
export function configurationPath(agentName: string): string {
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(agentName)) {
    throw new ConfigurationError(`agent configuration file: invalid agent name ${JSON.stringify(agentName)}`);
  }
  return `.gitlab/agents/${agentName}/config.yaml`;
}

function warn({ unknownKeys, tooLong }: Configuration, log: Log): void {
  if (unknownKeys.length > 0) {
    const keys = unknownKeys.slice(0, 20).map(({ path, line }) => `${path} (line ${line})`);
    log.info('Config: unknown keys are ignored', {
      keys,
      ...(unknownKeys.length > 20 && { more: unknownKeys.length - 20 }),
    });
  }
  if (tooLong.length > 0) {
    log.warn('Config: GitLab takes only the first 500 entries of a list', { lists: tooLong });
  }
}

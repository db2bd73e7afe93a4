import type { Readable } from 'node:stream';
import type { JsonObject } from '@bufbuild/protobuf';
import type {
  AllowedAgentsForJob,
  AuthorizeProxyUserResponse,
  GetAgentInfoResponse,
  GetProjectInfoResponse,
} from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { RequestContext } from '../observability/tracer.ts';
import type { PlainJson } from './plain_json.ts';
import type { StreamedResponse } from './transport.ts';
import type { Query } from './url.ts';

export interface CallOptions extends RequestContext {
  readonly signal: AbortSignal;
  /** Sent as X-Request-Id, which GitLab may take as the correlation id of its own log lines (docs/protocol/logs.md). */
  readonly correlationId?: string | undefined;
  /** The method of ours that asks, with leading slash, for the log. */
  readonly method?: string | undefined;
}

export interface ProxyUserQuestion {
  readonly agentId: bigint;
  readonly accessType: 'session_cookie' | 'personal_access_token';
  readonly accessKey: string;
  /** Empty for tokens. */
  readonly csrfToken: string;
}

/** Counts by name, and ids that count by their number. */
export interface Usage {
  readonly counters: ReadonlyMap<string, number>;
  readonly uniqueCounters: ReadonlyMap<string, readonly bigint[]>;
}

/** By name. */
export type AgentEvents = ReadonlyMap<string, readonly PlainJson[]>;

/** A request of a module in an agent to its other half in GitLab, which alone knows what it means. */
export interface ModuleRequest {
  readonly method: string;
  /** The module's name, as it is. */
  readonly module: string;
  /** Behind the module's name: decoded, begins with a slash. */
  readonly path: string;
  readonly query: Query;
  /** In any case; those that say who asks are replaced. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** Only what is in memory can be sent again, so calls with a stream are never repeated. */
  readonly body: Buffer | Readable | undefined;
}

/**
 * GitLab's internal REST API (docs/protocol/gitlab.md). Calls reject with GitLabError for a status they do not accept, with
 * AppError Unavailable if GitLab cannot be reached or breaks off, Internal if its answer makes no sense, InvalidArgument if
 * the question does not, and with the signal's reason when that fires.
 */
export interface GitLabClient {
  agentInfo(agentToken: string, options: CallOptions): Promise<GetAgentInfoResponse>;
  allowedAgents(jobToken: string, options: CallOptions): Promise<AllowedAgentsForJob>;
  authorizeProxyUser(question: ProxyUserQuestion, options: CallOptions): Promise<AuthorizeProxyUserResponse>;
  /** Whether the agent may read the project; refusals of any kind mean that it may not. */
  verifyProjectAccess(agentToken: string, projectPath: string, options: CallOptions): Promise<boolean>;
  /** Where a project's repository is; GitLabError 401, 403, 404 if the agent may not know. */
  projectInfo(agentToken: string, projectPath: string, options: CallOptions): Promise<GetProjectInfoResponse>;
  /** GitLab's answer, whatever its status; its body must be read to its end or destroyed. */
  moduleRequest(agentToken: string, request: ModuleRequest, options: CallOptions): Promise<StreamedResponse>;
  /** @param configuration an agent's configuration file as JSON */
  postAgentConfiguration(agentId: bigint, configuration: JsonObject, options: CallOptions): Promise<void>;
  reportUsage(usage: Usage, options: CallOptions): Promise<void>;
  /** False: this GitLab does not know events. */
  reportEvents(events: AgentEvents, options: CallOptions): Promise<boolean>;
}

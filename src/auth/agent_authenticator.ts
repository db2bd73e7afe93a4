import type { GitalyInfo, GitalyRepository } from '../gen/gitlab/agent/entity/entity_pb.ts';
import type { CallOptions } from '../gitlab/client.ts';

/** Who an agent is, as its token says. */
export interface AgentInfo {
  readonly id: bigint;
  /** The agent's configuration project; in standalone mode the agent's own id. */
  readonly projectId: bigint;
  readonly name: string;
  /** Full path of the configuration project; in standalone mode the agent's name. */
  readonly projectPath: string;
  /** Where the configuration project's repository is; undefined in standalone mode. */
  readonly repository:
    | {
        readonly gitaly: GitalyInfo;
        readonly repository: GitalyRepository;
        readonly defaultBranch: string;
      }
    | undefined;
}

/** Turns agent tokens into agents. */
export interface AgentAuthenticator {
  /**
   * Rejects with AppError: Unauthenticated, PermissionDenied, NotFound if the token is refused, Unavailable if that could
   * not be found out (long-lived handlers try again), Canceled or DeadlineExceeded if the signal fired.
   */
  authenticate(token: string, options: CallOptions): Promise<AgentInfo>;
  /** The answer if it is in memory and fresh: an RPC then waits for nothing. */
  peek(token: string): AgentInfo | undefined;
}

import type { ConnectRouter } from '@connectrpc/connect';
import { ServerInfo } from '../../gen/gitlab/agent/server_info/rpc/server_info_pb.ts';

/** ServerInfo: GitLab shows the version, and warns of agents that are behind it (docs/protocol/internal_api.md). */
export function createServerInfo(deps: {
  /** The GitLab release that is served. */
  readonly version: string;
  readonly commit: string;
}): (router: ConnectRouter) => void {
  const answer = { currentServerInfo: { version: deps.version, gitRef: deps.commit } };
  return (router) => router.service(ServerInfo, { getServerInfo: () => answer });
}

import { type FakeGitLab, startGitLab } from './gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection } from './grpc_client.ts';
import type { ConfigTree } from './kas_config.ts';
import { type RunningServer, startServer } from './server.ts';

/** A server with a GitLab, and a connection to its internal API. */
export interface InternalApi {
  readonly gitlab: FakeGitLab;
  readonly server: RunningServer;
  readonly connection: GrpcConnection;
  stop(): Promise<void>;
}

/** @param config laid over the usual configuration */
export async function startInternalApi(config: ConfigTree = {}): Promise<InternalApi> {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab, config });
  const connection = await grpcConnection(server.endpoints.api);
  return {
    gitlab,
    server,
    connection,
    async stop() {
      connection.close();
      await server.stop();
      await gitlab.close();
    },
  };
}

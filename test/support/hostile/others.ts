import { RegisterRequestSchema } from '../../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import type { Cluster } from '../cluster.ts';
import { type GrpcConnection, grpcConnection } from '../grpc_client.ts';
import { ask } from '../http_client.ts';
import { railsJwt } from '../internal_api.ts';
import { delay, within } from '../wait.ts';

/** Nobody waits for longer than that, whatever somebody else does. */
const PATIENCE_MS = 20_000;

/** Decent people who go on using every listener while somebody attacks. */
export class Others {
  readonly #cluster: Cluster;
  readonly #agent: GrpcConnection;
  /** What went wrong for them. */
  readonly problems: string[] = [];
  /** How long each deed took, by kind. */
  readonly milliseconds = new Map<string, number[]>();
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(cluster: Cluster, agent: GrpcConnection) {
    this.#cluster = cluster;
    this.#agent = agent;
  }

  static async of(cluster: Cluster): Promise<Others> {
    return new Others(cluster, await grpcConnection(cluster.server.endpoints.agent));
  }

  /** What each of them does, again and again; the answer is what it is to be. */
  #deeds(): Readonly<Record<string, () => Promise<boolean>>> {
    const { server, gitlab } = this.#cluster;
    const infoPath = '/gitlab.agent.server_info.rpc.ServerInfo/GetServerInfo';
    return {
      'a request to the cluster': async () => (await this.#cluster.ask({ path: '/fine' })).text === 'fine',
      'a probe': async () => (await ask(server.endpoints.observability, { path: '/readiness' })).status === 200,
      'a call of GitLab': async () => {
        const headers = {
          authorization: `Bearer ${railsJwt(gitlab?.secret ?? Buffer.alloc(0))}`,
          'content-type': 'application/json',
        };
        return (
          (await ask(server.endpoints.api, { method: 'POST', path: infoPath, headers, body: '{}' })).status === 200
        );
      },
      'a call of an agent': async () => {
        const call = this.#agent.call('/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register');
        call.sendMessage(RegisterRequestSchema, { agentMeta: {}, podId: 1n });
        call.halfClose();
        return (await call.status).code === 0;
      },
    };
  }

  start(): void {
    const go = async (what: string, deed: () => Promise<boolean>): Promise<void> => {
      while (!this.#stopped) {
        const start = performance.now();
        const well = await within(what, PATIENCE_MS, deed()).catch((error: unknown) => String(error));
        if (well !== true) this.problems.push(`${what}: ${well}`);
        const taken = this.milliseconds.get(what) ?? [];
        this.milliseconds.set(what, taken);
        taken.push(performance.now() - start);
        await delay(5);
      }
    };
    this.#running = Promise.all(Object.entries(this.#deeds()).map(([what, deed]) => go(what, deed)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#agent.close();
  }
}

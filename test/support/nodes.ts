import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { ExpiringValueSchema } from '../../src/gen/gitlab/agent/redistool/redistool_pb.ts';
import { startAgent, type TestAgent } from './agent/agent.ts';
import type { Backend } from './backend.ts';
import { addressOf, type Endpoint } from './endpoint.ts';
import { type FakeGitLab, type GitLabOptions, startGitLab } from './gitlab/gitlab.ts';
import { type Answered, type Asked, ask, open, outgoingRequest } from './http_client.ts';
import { type ConfigTree, mergeConfig } from './kas_config.ts';
import type { TestRedis } from './redis.ts';
import { type RunningServer, type ServerOptions, startAgain, startServer } from './server.ts';
import { eventually } from './wait.ts';

/** What is different for one node. */
export interface NodeOptions {
  readonly config?: ConfigTree;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: that of all nodes. */
  readonly privateSecret?: Buffer;
}

export interface NodesOptions {
  /** One for each node. */
  readonly nodes: readonly NodeOptions[];
  readonly redis: TestRedis;
  /** It is closed with the nodes. */
  readonly backend: Backend;
  readonly gitlab?: GitLabOptions;
  readonly config?: ConfigTree;
  /** Where nodes listen for each other; default tcp. */
  readonly network?: 'tcp' | 'unix';
}

/** A listener for gRPC, or a URL. */
export type AgentPlace = Endpoint | { readonly url: string; readonly ca: string };

export type NodesAsked = Asked & { readonly token?: string };

/** Several nodes that share a Redis and a GitLab, and agents that connect to one or another. */
export interface Nodes {
  readonly gitlab: FakeGitLab;
  readonly servers: RunningServer[];
  /** Asks through the Kubernetes API proxy of one node; the path is the cluster's. */
  ask(node: number, asked: NodesAsked): Promise<Answered>;
  open(node: number, asked: NodesAsked): Promise<IncomingMessage>;
  /** A request whose body the caller writes. */
  start(node: number, asked: NodesAsked): ReturnType<typeof outgoingRequest>;
  /** Starts an agent that connects to this node or place; it is stopped with the nodes. */
  connectAgent(id: number, place: number | AgentPlace): Promise<TestAgent>;
  /** Starts a node that has ended once more. */
  restartNode(node: number): Promise<void>;
  /** Stops everything and asserts that the nodes ended in order. */
  stop(): Promise<void>;
}

/** The default credential: alice may use all agents as the agents themselves. */
const ALICE = 'pat:1:alice-pat';

export async function startNodes(options: NodesOptions): Promise<Nodes> {
  const { backend } = options;
  const folder = mkdtempSync(join(tmpdir(), 'kas-nodes-'));
  const gitlab = await startGitLab(options.gitlab ?? {});
  const shared = randomBytes(32);
  const agents: TestAgent[] = [];
  const servers: RunningServer[] = [];
  const privatePlace = (i: number): ConfigTree =>
    options.network === 'unix' ? { network: 'unix', address: join(folder, `private-${i}.sock`) } : {};
  const startNode = async (i: number): Promise<void> => {
    const own = options.nodes[i] ?? {};
    const secretFile = join(folder, `private-${i}.secret`);
    writeFileSync(secretFile, (own.privateSecret ?? shared).toString('base64'), { mode: 0o640 });
    const config = [options.config ?? {}, own.config ?? {}].reduce(mergeConfig, {
      redis: { server: { address: options.redis.address } },
      private_api: { listen: { authentication_secret_file: secretFile, ...privatePlace(i) } },
    });
    const serverOptions: ServerOptions = {
      gitlab,
      config,
      ...(own.env && { env: own.env }),
    };
    servers[i] = await startServer(serverOptions);
  };
  const asked = ({ token = ALICE, ...rest }: NodesAsked): Asked => ({
    ...rest,
    path: `/k8s-proxy${rest.path}`,
    headers: { authorization: `Bearer ${token}`, ...rest.headers },
  });
  const proxy = (node: number): Endpoint => {
    const server = servers[node];
    if (server === undefined) throw new Error(`no node ${node}`);
    return server.endpoints.kubernetesApi;
  };
  const nodes: Nodes = {
    gitlab,
    servers,
    async restartNode(node) {
      const ended = servers[node];
      if (ended === undefined) throw new Error(`no node ${node}`);
      servers[node] = await startAgain(ended, options.nodes[node]?.env);
    },
    ask: (node, one) => ask(proxy(node), asked(one)),
    open: (node, one) => open(proxy(node), asked(one)),
    start: (node, one) => outgoingRequest(proxy(node), asked(one)),
    async connectAgent(id, place) {
      const endpoint = typeof place === 'number' ? servers[place]?.endpoints.agent : place;
      if (endpoint === undefined) throw new Error(`no node ${String(place)}`);
      const agent = await startAgent({
        kasAddress: 'url' in endpoint ? endpoint.url : `grpc://${addressOf(endpoint)}`,
        ...('url' in endpoint && { caCert: endpoint.ca }),
        token: `agent-token-${id}`,
        podName: `agentk-${id}-${agents.length}`,
        cluster: { server: backend.url, authorization: () => 'Bearer kube-sa-token' },
      });
      agents.push(agent);
      await eventually('the agent to have tunnels', () => agent.connected && agent.tunnels.open > 0);
      return agent;
    },
    async stop() {
      try {
        for (const agent of agents) await agent.close();
        for (const server of servers) if (await isRunning(server)) await server.stop();
      } finally {
        for (const server of servers) await server?.kill();
        await Promise.all([backend.close(), gitlab.close()]);
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
  try {
    for (let i = 0; i < options.nodes.length; i++) await startNode(i);
  } catch (error) {
    await nodes.stop().catch(() => {});
    throw error;
  }
  return nodes;
}

async function isRunning(server: RunningServer): Promise<boolean> {
  return (await Promise.race([server.exited, Promise.resolve('running')])) === 'running';
}

/** Where Redis has the nodes of an agent. */
export function tunnelsKey(agentId: number): Buffer {
  const id = Buffer.alloc(8);
  id.writeBigInt64LE(BigInt(agentId));
  return Buffer.concat([Buffer.from('gitlab-kas:tunnel_tracker2:kas_by_agent_id:'), id]);
}

/** Makes Redis say that a node has tunnels of an agent, for ten minutes. */
export async function announceNode(redis: TestRedis, agentId: number, url: string): Promise<void> {
  const expiresAt = BigInt(Math.floor(Date.now() / 1000) + 600);
  const value = Buffer.from(toBinary(ExpiringValueSchema, create(ExpiringValueSchema, { expiresAt })));
  await redis.ask('HSET', tunnelsKey(agentId), url, value);
}

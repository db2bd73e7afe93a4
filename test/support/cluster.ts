import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { startAgent } from './agent/agent.ts';
import { kubeconfig, startAgentProcess } from './agent_process.ts';
import type { Backend } from './backend.ts';
import { type Forwarder, startForwarder } from './forwarder.ts';
import { type FakeGitLab, type GitLabOptions, startGitLab } from './gitlab/gitlab.ts';
import { type Answered, type Asked, ask, open, outgoingRequest } from './http_client.ts';
import { type RunningServer, type ServerOptions, startServer } from './server.ts';

export type Scheme = 'ws' | 'wss' | 'grpc' | 'grpcs';

export interface ClusterOptions extends Omit<ServerOptions, 'gitlab'> {
  /** What the agent takes for its API server; it is closed with the cluster. */
  readonly backend: Backend;
  /** With it GitLab is there, without it the server stands alone. */
  readonly gitlab?: GitLabOptions;
  /** How the agent connects; default ws, wss with TLS. */
  readonly scheme?: Scheme;
  /** Ids of the agents that connect; default 1 alone. */
  readonly agents?: readonly number[];
}

/** Credential as after `Bearer `; null: none. Default: alice, who may use all agents as the agents themselves. */
export type ClusterAsked = Asked & { readonly token?: string | null };

/** Server, GitLab, agent and what the agent takes for its cluster, connected. */
export interface Cluster {
  readonly server: RunningServer;
  readonly gitlab: FakeGitLab | undefined;
  readonly backend: Backend;
  /** The agents' way to the server; cutting it cuts them. */
  readonly agentLink: Forwarder;
  /** Asks through the Kubernetes API proxy; the path is the cluster's. */
  ask(asked: ClusterAsked): Promise<Answered>;
  open(asked: ClusterAsked): Promise<IncomingMessage>;
  /** A request whose body the caller writes. */
  start(asked: ClusterAsked): ReturnType<typeof outgoingRequest>;
  /** Another agent. It is stopped with the cluster. */
  connectAgent(id: number): Promise<void>;
  /** Stops everything and asserts that the server ended in order. */
  stop(): Promise<void>;
}

/** AGENTK=path puts a real agentk in the test agent's place. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { backend } = options;
  const gitlab = options.gitlab && (await startGitLab(options.gitlab));
  const server = await startServer({ ...options, gitlab });
  const agentLink = await startForwarder(server.endpoints.agent);
  const agents: { close(): Promise<void> }[] = [];
  const scheme = options.scheme ?? (options.tls === undefined ? 'ws' : 'wss');
  const throughProxy = (asked: ClusterAsked): Asked => {
    const token = asked.token === undefined ? 'pat:1:alice-pat' : asked.token;
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
    return { ...asked, path: `/k8s-proxy${asked.path}`, headers: { ...authorization, ...asked.headers } };
  };
  const { kubernetesApi } = server.endpoints;
  const cluster: Cluster = {
    server,
    gitlab,
    backend,
    agentLink,
    ask: (asked) => ask(kubernetesApi, throughProxy(asked)),
    open: (asked) => open(kubernetesApi, throughProxy(asked)),
    start: (asked) => outgoingRequest(kubernetesApi, throughProxy(asked)),
    async connectAgent(id) {
      const path = scheme.startsWith('ws') ? '/-/kubernetes-agent/' : '';
      const kasAddress = `${scheme}://localhost:${agentLink.port}${path}`;
      agents.push(await connect(kasAddress, `agent-token-${id}`, options.tls?.ca, backend));
      // The request waits for a tunnel; any answer of the cluster means that there is one.
      const answer = await cluster.ask({ path: '/is-there-a-tunnel', token: `pat:${id}:alice-pat` });
      assert.equal(answer.status, 404, answer.text);
    },
    async stop() {
      for (const agent of agents) await agent.close();
      try {
        await server.stop();
        assert.deepEqual(gitlab?.problems ?? [], []);
      } finally {
        agentLink.close();
        await Promise.all([backend.close(), gitlab?.close()]);
      }
    },
  };
  try {
    for (const id of options.agents ?? [1]) await cluster.connectAgent(id);
  } catch (error) {
    await cluster.stop().catch(() => {});
    throw new Error(`no agent connected: ${String(error)}\n${server.stderr().slice(-4000)}`);
  }
  return cluster;
}

async function connect(
  kasAddress: string,
  token: string,
  ca: string | undefined,
  backend: Backend,
): Promise<{ close(): Promise<void> }> {
  const program = process.env.AGENTK;
  if (program !== undefined)
    return await startAgentProcess({
      program,
      kasAddress,
      token,
      ca,
      kubeconfig: kubeconfig(backend.url, { token: 'kube-sa-token' }),
    });
  return await startAgent({
    kasAddress,
    token,
    ...(ca !== undefined && { caCert: ca }),
    cluster: { server: backend.url, authorization: () => 'Bearer kube-sa-token' },
  });
}

import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { startAgent } from './agent/agent.ts';
import { kubeconfig, startAgentProcess } from './agent_process.ts';
import type { Backend } from './backend.ts';
import { type Forwarder, startForwarder } from './forwarder.ts';
import { type FakeGitLab, type GitLabOptions, startGitLab } from './gitlab/gitlab.ts';
import { type Answered, type Asked, ask, open, outgoingRequest } from './http_client.ts';
import { mergeConfig } from './kas_config.ts';
import { type RunningServer, type ServerOptions, startServer } from './server.ts';

export type Scheme = 'ws' | 'wss' | 'grpc' | 'grpcs';

/** What an agent takes for its API server. */
export interface ApiServer {
  readonly url: string;
  /** PEM, where it has TLS and asks for a client certificate. */
  readonly tls?: { readonly ca: string; readonly clientCert: string; readonly clientKey: string };
  close(): Promise<void>;
}

export interface ClusterOptions<B extends ApiServer = Backend> extends Omit<ServerOptions, 'gitlab'> {
  /** It is closed with the cluster. */
  readonly backend: B;
  /** With it GitLab is there, without it the server stands alone. */
  readonly gitlab?: GitLabOptions;
  /** How the agent connects; default ws, wss with TLS. */
  readonly scheme?: Scheme;
  /** Ids of the agents that connect; default 1 alone. */
  readonly agents?: readonly number[];
  /** Default /k8s-proxy/. */
  readonly urlPathPrefix?: string;
}

/** Credential as after `Bearer `; null: none. Default: alice, who may use all agents as the agents themselves. */
export type ClusterAsked = Asked & { readonly token?: string | null };

/** Server, GitLab, agent and what the agent takes for its cluster, connected. */
export interface Cluster<B extends ApiServer = Backend> {
  readonly server: RunningServer;
  readonly gitlab: FakeGitLab | undefined;
  readonly backend: B;
  /** The agents' way to the server; cutting it cuts them. */
  readonly agentLink: Forwarder;
  /** Asks through the Kubernetes API proxy; the path is the cluster's. */
  ask(asked: ClusterAsked): Promise<Answered>;
  open(asked: ClusterAsked): Promise<IncomingMessage>;
  /** A request whose body the caller writes. */
  start(asked: ClusterAsked): ReturnType<typeof outgoingRequest>;
  /** Another agent, by another way if need be. It is stopped with the cluster. */
  connectAgent(id: number, way?: { readonly kasAddress: string; readonly ca: string | undefined }): Promise<void>;
  /** Stops everything and asserts that the server ended in order. */
  stop(): Promise<void>;
}

/** AGENTK=path puts a real agentk in the test agent's place. */
export async function startCluster<B extends ApiServer = Backend>(options: ClusterOptions<B>): Promise<Cluster<B>> {
  const { backend, urlPathPrefix = '/k8s-proxy/' } = options;
  const gitlab = options.gitlab && (await startGitLab(options.gitlab));
  const server = await startServer({
    ...options,
    gitlab,
    config: mergeConfig({ agent: { kubernetes_api: { url_path_prefix: urlPathPrefix } } }, options.config ?? {}),
  }).catch(async (error: unknown) => {
    await Promise.all([backend.close(), gitlab?.close()]); // they would keep the test's process from ending
    throw error;
  });
  const agentLink = await startForwarder(server.endpoints.agent);
  const agents: { close(): Promise<void> }[] = [];
  const scheme = options.scheme ?? (options.tls === undefined ? 'ws' : 'wss');
  const throughProxy = (asked: ClusterAsked): Asked => {
    const token = asked.token === undefined ? 'pat:1:alice-pat' : asked.token;
    const authorization = token === null ? {} : { authorization: `Bearer ${token}` };
    return {
      ...asked,
      path: `${urlPathPrefix}${asked.path.slice(1)}`,
      headers: { ...authorization, ...asked.headers },
    };
  };
  const { kubernetesApi } = server.endpoints;
  const cluster: Cluster<B> = {
    server,
    gitlab,
    backend,
    agentLink,
    ask: (asked) => ask(kubernetesApi, throughProxy(asked)),
    open: (asked) => open(kubernetesApi, throughProxy(asked)),
    start: (asked) => outgoingRequest(kubernetesApi, throughProxy(asked)),
    async connectAgent(id, way) {
      const path = scheme.startsWith('ws') ? '/-/kubernetes-agent/' : '';
      const direct = { kasAddress: `${scheme}://localhost:${agentLink.port}${path}`, ca: options.tls?.ca };
      const { kasAddress, ca } = way ?? direct;
      agents.push(await connect(kasAddress, `agent-token-${id}`, ca, backend));
      // The request waits for a tunnel; any answer of the cluster means that there is one.
      const answer = await cluster.ask({ path: '/is-there-a-tunnel', token: `pat:${id}:alice-pat` });
      assert.doesNotMatch(answer.text, /GitLab Agent Server/);
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
  backend: ApiServer,
): Promise<{ close(): Promise<void> }> {
  const program = process.env.AGENTK;
  const { url, tls } = backend;
  if (program !== undefined) {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const user = tls && {
      'client-certificate-data': base64(tls.clientCert),
      'client-key-data': base64(tls.clientKey),
    };
    const authority = tls && { 'certificate-authority-data': base64(tls.ca) };
    const config = kubeconfig(url, user ?? { token: 'kube-sa-token' }, authority);
    return await startAgentProcess({ program, kasAddress, token, ca, kubeconfig: config });
  }
  const authorization = tls === undefined ? { authorization: () => 'Bearer kube-sa-token' } : {};
  return startAgent({
    kasAddress,
    token,
    ...(ca !== undefined && { caCert: ca }),
    cluster: { server: url, ...tls, ...authorization },
  });
}

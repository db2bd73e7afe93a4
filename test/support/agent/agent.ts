import type { ConfigurationResponse } from '../../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import { statusCodeName } from '../../../src/runtime/status_code.ts';
import { Backoff, CHANNEL_BACKOFF } from './backoff.ts';
import { kubernetesVersion } from './cluster_version.ts';
import { Connection } from './connection.ts';
import { Control } from './control.ts';
import { kasTarget } from './dial.ts';
import { KubeClient } from './kube_client.ts';
import { type AgentOptions, DEFAULT_POOL } from './options.ts';
import { type RpcStatus, rpcHeaders } from './rpc.ts';
import { TunnelPool } from './tunnel_pool.ts';

/** A running agent. */
export interface TestAgent {
  /** Whether the channel to kas is up. */
  readonly connected: boolean;
  readonly tunnels: {
    /** Open and unused. */
    readonly open: number;
    /** Not busy, those that are about to be opened included. */
    readonly idle: number;
    /** Carrying a request. */
    readonly active: number;
  };
  /** Configurations received, oldest first. */
  readonly configurations: readonly ConfigurationResponse[];
  /** How tunnels ended that did not end with OK, oldest first; at most 1,000 are kept. */
  readonly failures: readonly RpcStatus[];
  /** Successful Register calls. */
  readonly registrations: number;
  /** Resolves once kas has been reached and the idle tunnels have been asked for; rejects when the agent is closed. */
  ready(): Promise<void>;
  /** Cuts the connection to kas; the agent comes back by itself. */
  cut(): void;
  /** Ends everything at once. With `unregister`, kas is told first. */
  close(more?: { unregister?: boolean }): Promise<void>;
}

/** Starts an agent and waits until it has reached kas. @throws {Error} when the options make no sense */
export async function startAgent(options: AgentOptions): Promise<TestAgent> {
  const agent = createAgent(options);
  await agent.ready();
  return agent;
}

/**
 * An agent that behaves like agentk towards kas and towards its cluster. It keeps trying to reach kas until it is closed.
 * @throws {Error} when the options make no sense
 */
export function createAgent(options: AgentOptions): TestAgent {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const log = options.log ?? (() => {});
  const version = options.version ?? 'v0.0.0';
  const commitId = options.commitId ?? '00000000';
  const product = `gitlab-agent/${version}/${commitId}`;
  const target = kasTarget(options, product);
  const scope = new Scope(clock);
  const kube = new KubeClient(options.cluster);
  scope.own(kube);
  const connection = new Connection(target, scope, new Backoff(CHANNEL_BACKOFF, clock, random), log);
  const headers = rpcHeaders(target.authority, options.token, `${product} grpc-go/1.58.3`, target.metadata);
  const configurations: ConfigurationResponse[] = [];
  const failures: RpcStatus[] = [];
  const pool = new TunnelPool({
    scope,
    connection,
    headers,
    random,
    context: { kube, scope, userAgent: product, log },
    settings: { ...DEFAULT_POOL, ...options.pool },
    onFailure: (status) => {
      if (failures.length === 1000) failures.shift();
      failures.push(status);
      log(`Connect failed: ${statusCodeName(status.code)} ${status.message}`);
    },
  });
  const control = new Control({
    scope,
    connection,
    headers,
    random,
    meta: {
      version,
      commitId,
      podNamespace: options.podNamespace ?? 'gitlab-agent',
      podName: options.podName ?? 'test-agent',
    },
    podId: random.bytes(8).readBigUInt64BE() >> 1n,
    kubernetesVersion: () => kubernetesVersion(kube, product),
    onConfiguration: (response) => configurations.push(response),
    log,
  });
  return {
    get connected() {
      return connection.connected;
    },
    tunnels: pool,
    configurations,
    failures,
    get registrations() {
      return control.registrations;
    },
    ready: async () => {
      await connection.ready();
      // The pool's workers waited for the same promise before, so they have opened their tunnels by now.
      await new Promise((resolve) => setImmediate(resolve));
    },
    cut: () => connection.cut(),
    close: async ({ unregister = false } = {}) => {
      if (unregister && connection.connected) await control.unregister();
      scope.close(new Error('agent is closed'));
    },
  };
}

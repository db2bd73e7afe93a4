import type { Clock } from '../../../src/runtime/clock.ts';
import type { Random } from '../../../src/runtime/random.ts';
import type { ImpersonationConfig } from './messages.ts';

/** How to reach kas. */
export interface ChannelOptions {
  /** `grpc://`, `grpcs://`, `ws://` or `wss://`. */
  readonly kasAddress: string;
  readonly token: string;
  /** PEM; trusted in addition to nothing else when given. */
  readonly caCert?: string;
  /** `Name: value`; HTTP headers of the WebSocket handshake, or gRPC metadata. */
  readonly kasHeaders?: readonly string[];
  readonly insecureSkipTlsVerify?: boolean;
  readonly tlsServerName?: string;
}

export interface AgentOptions extends ChannelOptions {
  /** The cluster behind the agent. */
  readonly cluster: Cluster;
  readonly podNamespace?: string;
  readonly podName?: string;
  readonly version?: string;
  readonly commitId?: string;
  /** Numbers of the tunnel pool that differ from agentk's. */
  readonly pool?: Partial<PoolSettings>;
  readonly clock?: Clock;
  readonly random?: Random;
  /** One line per thing worth knowing. */
  readonly log?: (line: string) => void;
}

/** How the kube-apiserver is reached. */
export interface Cluster {
  /** Base URL, `http:` or `https:`. Its path is not used. */
  readonly server: string;
  readonly ca?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly tlsServerName?: string;
  /** Value of `Authorization` for requests that have none; asked for each request, because token files change. */
  readonly authorization?: () => string | undefined;
  /** The identity that the agent itself assumes (`--as`). */
  readonly impersonate?: ImpersonationConfig;
}

export interface PoolSettings {
  readonly minIdle: number;
  readonly maxTotal: number;
  readonly scaleUp: number;
  /** Milliseconds. */
  readonly maxIdleMs: number;
}

/** agentk's numbers (docs/protocol/agent.md). */
export const DEFAULT_POOL: PoolSettings = { minIdle: 2, maxTotal: 500, scaleUp: 10, maxIdleMs: 60_000 };

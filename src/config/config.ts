import type { Level } from '../observability/log.ts';
import type { Secret } from './secret.ts';

/** The configuration after reading, validating and defaulting: frozen, durations in milliseconds, paths absolute. */
export interface Config {
  /** Exactly one of `gitlab` and `standalone` is set. */
  readonly gitlab: GitLabConfig | undefined;
  readonly standalone: StandaloneConfig | undefined;
  readonly agent: AgentConfig;
  readonly observability: ObservabilityConfig;
  readonly gitaly: { readonly globalApiRateLimit: RateLimit; readonly perServerApiRateLimit: RateLimit };
  /** Absent: what nodes share is kept in this process. */
  readonly redis: RedisConfig | undefined;
  /** Absent: the listener stays closed. */
  readonly api: { readonly listen: RpcListen } | undefined;
  readonly privateApi: PrivateApiConfig | undefined;
  readonly server: ServerConfig;
}

export interface RateLimit {
  readonly refillRatePerSecond: number;
  readonly bucketSize: number;
}

export interface GitLabConfig {
  /** May have a path prefix and a query. */
  readonly address: URL;
  readonly authenticationSecret: Secret;
  readonly caCertificateFile: string | undefined;
  readonly apiRateLimit: RateLimit;
  /** As written in the file: it is compared with `Origin` character by character. Empty when unset. */
  readonly externalUrl: string;
}

export interface StandaloneConfig {
  readonly agents: readonly StandaloneAgent[];
  readonly users: readonly StandaloneUser[];
}

export interface StandaloneAgent {
  readonly id: bigint;
  readonly name: string;
  /** SHA-256 of the token: 32 bytes. */
  readonly tokenSha256: Buffer;
}

export interface StandaloneUser {
  readonly name: string;
  readonly tokenSha256: Buffer;
  readonly agents: '*' | readonly bigint[];
  readonly accessAs: 'agent' | 'user' | { readonly impersonate: Impersonation };
}

export interface Impersonation {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: readonly { readonly key: string; readonly val: readonly string[] }[];
}

export type Network = 'tcp' | 'tcp4' | 'tcp6' | 'unix';

/** Where a listener listens, and with which certificate. */
export interface Listen {
  readonly network: Network;
  /** host:port, or a socket's path when network is unix. */
  readonly address: string;
  /** Both or none of the two files. */
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined;
}

interface GracefulListen extends Listen {
  readonly listenGracePeriodMs: number;
}

interface AgedListen extends GracefulListen {
  readonly maxConnectionAgeMs: number;
}

export interface AgentListen extends AgedListen {
  readonly websocket: boolean;
  readonly connectionsPerTokenPerMinute: number;
}

export interface RpcListen extends AgedListen {
  readonly authenticationSecret: Secret;
}

export interface PrivateApiListen extends RpcListen {
  /** Added to the system's roots when this node dials others. */
  readonly caCertificateFile: string | undefined;
}

export interface PrivateApiConfig {
  readonly listen: PrivateApiListen;
  /** Where other nodes reach this one; empty when the machine has no address for that. */
  readonly ownUrls: readonly string[];
  /** The name that certificates of other nodes must have; empty: that of the URL. */
  readonly tlsServerName: string;
}

export interface KubernetesApiListen extends GracefulListen {
  readonly shutdownGracePeriodMs: number;
}

export interface AgentConfig {
  readonly listen: AgentListen;
  readonly configuration: { readonly pollPeriodMs: number; readonly maxConfigurationFileSize: number };
  /** Only agents up to 16.x ask for it; undefined when the section is absent. */
  readonly gitops: GitopsConfig | undefined;
  readonly infoCacheTtlMs: number;
  readonly infoCacheErrorTtlMs: number;
  readonly redisConnInfoTtlMs: number;
  readonly redisConnInfoRefreshMs: number;
  readonly redisConnInfoGcMs: number;
  readonly kubernetesApi: KubernetesApiConfig | undefined;
  readonly receptiveAgent: { readonly pollIntervalMs: number };
}

export interface GitopsConfig {
  readonly pollPeriodMs: number;
  readonly projectInfoCacheTtlMs: number;
  readonly projectInfoCacheErrorTtlMs: number;
  readonly maxManifestFileSize: number;
  readonly maxTotalManifestFileSize: number;
  readonly maxNumberOfPaths: number;
  readonly maxNumberOfFiles: number;
}

export interface KubernetesApiConfig {
  readonly listen: KubernetesApiListen;
  /** Begins and ends with a slash. */
  readonly urlPathPrefix: string;
  readonly allowedAgentCacheTtlMs: number;
  readonly allowedAgentCacheErrorTtlMs: number;
  /** Key of the tokens that browsers send as a WebSocket subprotocol; without it there are none. */
  readonly websocketTokenSecret: Secret | undefined;
  /** Response header names that pass to clients besides the built-in ones. */
  readonly extraAllowedResponseHeaders: readonly string[];
}

export interface ObservabilityConfig {
  readonly usageReportingPeriodMs: number;
  readonly listen: Listen;
  readonly prometheus: { readonly urlPath: string };
  readonly tracing: TracingConfig | undefined;
  readonly sentry: { readonly dsn: string; readonly environment: string };
  readonly logging: { readonly level: Level; readonly grpcLevel: Level };
  readonly livenessProbe: { readonly urlPath: string };
  readonly readinessProbe: { readonly urlPath: string };
  readonly startupProbe: { readonly urlPath: string };
}

export interface TracingConfig {
  readonly otlpEndpoint: URL;
  readonly otlpToken: Secret | undefined;
  readonly otlpCaCertificateFile: string | undefined;
}

export interface RedisConfig {
  readonly network: 'tcp' | 'unix';
  readonly endpoint: { readonly address: string } | RedisSentinelConfig;
  readonly dialTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly keyPrefix: string;
  readonly username: string;
  readonly password: Secret | undefined;
  readonly tls: ClientTls | undefined;
  readonly databaseIndex: number;
}

export interface RedisSentinelConfig {
  readonly masterName: string;
  readonly addresses: readonly string[];
  readonly password: Secret | undefined;
  readonly tls: ClientTls | undefined;
}

export interface ClientTls {
  readonly certificateFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caCertificateFile: string | undefined;
}

/** Keys of our own; upstream has none of them. */
export interface ServerConfig {
  /** Compress what is sent to agents: costs them and us CPU, saves bandwidth. */
  readonly agentCompression: boolean;
  /** Count, and tell Prometheus. */
  readonly metrics: boolean;
  /** Processes that share the work; 1: this one does it. */
  readonly workers: number;
  readonly limits: LimitsConfig;
  readonly debug: DebugConfig;
}

export interface DebugConfig {
  /** Whether the observability listener has endpoints that look into the process. */
  readonly enabled: boolean;
  /** Where profiles go; empty: the system's folder for temporary files. */
  readonly folder: string;
}

/** What is refused beyond: numbers that nobody reaches who does no harm. */
export interface LimitsConfig {
  readonly connectionsPerListener: number;
  readonly unauthenticatedConnectionsPerListener: number;
  readonly unauthenticatedTimeMs: number;
  readonly streamsPerConnection: number;
  readonly headerBytes: number;
  readonly messageBytes: number;
  readonly requestBytes: number;
  readonly bytesInFlightPerTunnel: number;
  readonly bytesInFlightPerAgentConnection: number;
  readonly bytesInFlight: number;
  readonly requestsPerUser: number;
  readonly waitingRequestsPerAgent: number;
  readonly waitingRequests: number;
}

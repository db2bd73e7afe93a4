import type { Registry } from 'prom-client';
import { counterFamily, type Distribution, HistogramFamily, type Sample } from './hot_metrics.ts';

/** How a user of the Kubernetes API proxy has shown who it is. */
const credentialForms = ['ci', 'pat', 'cookie', 'websocket_token', 'none'] as const;
export type CredentialForm = (typeof credentialForms)[number];

/** What has become of a request to the Kubernetes API proxy. */
const proxyResults = [
  /** The cluster's answer went to the client whole. */
  'answered',
  /** The connection carried something else than HTTP, and has ended. */
  'upgraded',
  /** It needs no cluster: a preflight, or a token for WebSockets. */
  'answered_here',
  /** 4xx of ours: no credential, no permission, nothing that makes sense. */
  'refused',
  /** It could not be found out whether it may be. */
  'not_authorized',
  /** Too much is going on. */
  'overloaded',
  /** No tunnel of the agent came in time. */
  'no_tunnel',
  /** The agent, or what is between, failed before there was an answer. */
  'failed',
  /** The answer broke off. */
  'cut_off',
  /** The client has gone before the end. */
  'client_gone',
] as const;
export type ProxyResult = (typeof proxyResults)[number];

export interface ProxyMetrics {
  readonly requests: Readonly<Record<ProxyResult, Readonly<Record<CredentialForm, Sample>>>>;
  readonly bytesFromClients: Sample;
  readonly bytesToClients: Sample;
  /** In seconds. */
  readonly timeToFirstByte: Distribution;
}

const FIRST_BYTE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];

export function createProxyMetrics(registry: Registry): ProxyMetrics {
  const requests = counterFamily(registry, {
    name: 'gitlab_kas_proxied_requests_total',
    help: 'Requests to the Kubernetes API proxy, by what has become of them and what they were authorized with.',
    labelNames: ['result', 'credential'],
  });
  const bytes = counterFamily(registry, {
    name: 'gitlab_kas_proxied_bytes_total',
    help: 'Bytes of bodies and upgraded connections: `received` from clients, `sent` to them.',
    labelNames: ['direction'],
  });
  const firstByte = new HistogramFamily(registry, {
    name: 'gitlab_kas_proxied_time_to_first_byte_seconds',
    help: 'From the head of a request to the head of the cluster’s answer.',
    buckets: FIRST_BYTE_BUCKETS,
  });
  const byCredential = (result: ProxyResult) =>
    Object.fromEntries(credentialForms.map((credential) => [credential, requests.with({ result, credential })]));
  return {
    requests: Object.fromEntries(
      proxyResults.map((result) => [result, byCredential(result)]),
    ) as ProxyMetrics['requests'],
    bytesFromClients: bytes.with({ direction: 'received' }),
    bytesToClients: bytes.with({ direction: 'sent' }),
    timeToFirstByte: firstByte.with({}),
  };
}

import { Counter, type Registry } from 'prom-client';

/** Why another node cannot be reached, or its connection was lost. */
const REASONS = [
  'expired',
  'no_answer',
  'not_tls',
  'not_yet_valid',
  'other',
  'other_name',
  'own_ca',
  'protocol',
  'reset',
  'unreachable',
  'untrusted',
] as const;
export type PeerFailure = (typeof REASONS)[number];

export type CountPeerFailure = (reason: PeerFailure) => void;

/** Counts failures to reach other nodes, and other workers. Not by node: there is no end of their URLs. */
export function createPeerMetrics(registry: Registry): CountPeerFailure {
  const failures = new Counter({
    name: 'gitlab_kas_peer_failures_total',
    help: 'Times that another node, or worker, could not be reached, or its connection was lost, by why.',
    labelNames: ['reason'],
    registers: [registry],
  });
  const samples = new Map(REASONS.map((reason) => [reason, failures.labels({ reason })]));
  for (const sample of samples.values()) sample.inc(0); // so that alerts have series to watch from the start
  return (reason) => samples.get(reason)?.inc();
}

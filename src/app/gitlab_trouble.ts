import type { Metrics } from '../observability/metrics.ts';
import type { Readiness } from './readiness.ts';

/**
 * Shows in probes and metrics that GitLab refuses the secret. No reason to send traffic elsewhere: whoever GitLab has let in
 * before is served on, and another node has the same secret.
 */
export function onSecretTrouble(
  readiness: Readiness,
  metrics: Pick<Metrics, 'gitlabSecretRefused'>,
): (trouble: string | undefined) => void {
  return (trouble) => {
    readiness.degrade('gitlab', trouble);
    metrics.gitlabSecretRefused.set(trouble === undefined ? 0 : 1);
  };
}

import type { Config, RateLimit } from '../../config/config.ts';

/** The configuration of one of `workers` workers: what the whole server may ask of GitLab and Gitaly is split among them. */
export function shareOf(config: Config, workers: number): Config {
  const share = ({ refillRatePerSecond, bucketSize }: RateLimit): RateLimit => ({
    refillRatePerSecond: refillRatePerSecond / workers,
    bucketSize: Math.ceil(bucketSize / workers),
  });
  const { gitlab, gitaly } = config;
  return {
    ...config,
    gitlab: gitlab && { ...gitlab, apiRateLimit: share(gitlab.apiRateLimit) },
    gitaly: {
      globalApiRateLimit: share(gitaly.globalApiRateLimit),
      perServerApiRateLimit: share(gitaly.perServerApiRateLimit),
    },
  };
}

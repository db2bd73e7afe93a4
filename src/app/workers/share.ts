import type { Config, RateLimit } from '../../config/config.ts';

/**
 * The configuration of one of `workers` workers: what the whole server may ask of GitLab and Gitaly, and
 * how much it takes from clients, is split among them: connections go to the worker that has the fewest.
 */
export function shareOf(config: Config, workers: number): Config {
  const share = ({ refillRatePerSecond, bucketSize }: RateLimit): RateLimit => ({
    refillRatePerSecond: refillRatePerSecond / workers,
    bucketSize: Math.ceil(bucketSize / workers),
  });
  const { gitlab, gitaly, server } = config;
  const { limits } = server;
  const part = (count: number) => Math.ceil(count / workers);
  return {
    ...config,
    gitlab: gitlab && { ...gitlab, apiRateLimit: share(gitlab.apiRateLimit) },
    gitaly: {
      globalApiRateLimit: share(gitaly.globalApiRateLimit),
      perServerApiRateLimit: share(gitaly.perServerApiRateLimit),
    },
    server: {
      ...server,
      limits: {
        ...limits,
        connectionsPerListener: part(limits.connectionsPerListener),
        unauthenticatedConnectionsPerListener: part(limits.unauthenticatedConnectionsPerListener),
        waitingRequestsPerAgent: part(limits.waitingRequestsPerAgent),
        waitingRequests: part(limits.waitingRequests),
        requestsPerUser: part(limits.requestsPerUser),
      },
    },
  };
}

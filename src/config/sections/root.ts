import type { Config } from '../config.ts';
import type { Machine } from '../own_private_api.ts';
import type { Report } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { optionalText } from '../schema/scalar.ts';
import { optionalSection, section } from '../schema/section.ts';
import { agentSection, buildAgent } from './agent.ts';
import { buildGitLab, gitlabSection } from './gitlab.ts';
import { autoflowSection, eventsPlatformSection, workspacesSection } from './not_served.ts';
import { buildObservability, observabilitySection } from './observability.ts';
import { buildRateLimit, rateLimitSection } from './rate_limit.ts';
import { buildRedis, redisSection } from './redis.ts';
import { apiSection, buildApi, buildPrivateApi, privateApiSection } from './rpc.ts';
import { buildServer, serverSection } from './server.ts';
import { buildStandalone, standaloneSection } from './standalone.ts';

/** The whole file. */
export const rootSection = section({
  doc: 'The configuration file.',
  keys: {
    gitlab: gitlabSection,
    standalone: standaloneSection,
    agent: agentSection,
    observability: observabilitySection,
    gitaly: section({
      doc: 'Calls to Gitaly.',
      keys: {
        global_api_rate_limit: rateLimitSection({
          doc: 'Limit of all calls together.',
          refillRatePerSecond: 30,
          bucketSize: 70,
        }),
        per_server_api_rate_limit: rateLimitSection({
          doc: 'Limit of the calls to one Gitaly.',
          refillRatePerSecond: 15,
          bucketSize: 40,
        }),
      },
    }),
    redis: redisSection,
    api: apiSection,
    private_api: privateApiSection,
    server: serverSection,
    config: optionalSection({
      doc: 'Where more configuration comes from.',
      keys: {
        command: optionalText({
          doc: 'Executable (absolute path) with arguments after spaces. The YAML that it prints is merged over the file.',
        }),
      },
    }),
    workspaces: workspacesSection,
    autoflow: autoflowSection,
    events_platform: eventsPlatformSection,
  },
  check({ gitlab, standalone }, _path, report) {
    if (gitlab !== undefined && standalone !== undefined) {
      report.problem('standalone', 'there is a gitlab section already: only one of gitlab and standalone');
    } else if (gitlab === undefined && standalone === undefined) {
      if (!report.failed('gitlab') && !report.failed('standalone')) {
        report.problem('', 'one of gitlab and standalone is required');
      }
    }
  },
});

/** What the file says, with defaults, in the file's own names. */
export type RootSection = Value<typeof rootSection>;

/** Opens the files that `root` names. Problems go to the report; with one there, the result is of no use. */
export function buildConfig(root: RootSection, machine: Machine, report: Report): Config {
  const redis = root.redis && buildRedis(root.redis, report);
  return {
    gitlab: root.gitlab && buildGitLab(root.gitlab, report),
    standalone: root.standalone && buildStandalone(root.standalone, report),
    agent: buildAgent(root.agent, report),
    observability: buildObservability(root.observability, report),
    gitaly: {
      globalApiRateLimit: buildRateLimit(root.gitaly.global_api_rate_limit),
      perServerApiRateLimit: buildRateLimit(root.gitaly.per_server_api_rate_limit),
    },
    redis,
    api: root.api && buildApi(root.api, report),
    privateApi: root.private_api && buildPrivateApi(root.private_api, machine, redis, report),
    server: buildServer(root.server),
  };
}

import type { AgentConfig } from '../config.ts';
import { childPath, type Report } from '../problem.ts';
import { ignored, type Value } from '../schema/field.ts';
import { duration, uint32 } from '../schema/number.ts';
import { flag } from '../schema/scalar.ts';
import { optionalSection, section } from '../schema/section.ts';
import { buildGitops, gitopsSection } from './gitops.ts';
import { buildKubernetesApi, kubernetesApiSection } from './kubernetes_api.ts';
import { buildListen, checkListen, listenGracePeriod, listenKeys, maxConnectionAge } from './listen.ts';

export const agentSection = section({
  doc: 'What agents see, and what is done for them.',
  keys: {
    listen: section({
      doc: 'Where agents connect.',
      keys: {
        ...listenKeys('127.0.0.1:8150'),
        websocket: flag({ doc: 'Also take gRPC inside a WebSocket, beside native gRPC on the same port.' }),
        connections_per_token_per_minute: uint32({
          doc: 'How many connections may come with one token in a minute.',
          default: 40_000,
        }),
        max_connection_age: maxConnectionAge,
        listen_grace_period: listenGracePeriod,
      },
      check: checkListen,
    }),
    configuration: section({
      doc: "The agents' own configuration files, from their projects.",
      keys: {
        poll_period: duration({ doc: 'How often a file is looked at.', default: '300s' }),
        max_configuration_file_size: uint32({ doc: 'Bytes of one file.', default: 131_072 }),
      },
    }),
    gitops: gitopsSection,
    info_cache_ttl: duration({
      doc: "How long GitLab's answer about an agent's token is remembered; 0 asks every time, after refusals too.",
      default: '300s',
      least: 'natural',
    }),
    info_cache_error_ttl: duration({ doc: 'The same for a refusal.', default: '60s' }),
    redis_conn_info_ttl: duration({
      doc: "How long what nodes share about an agent's connection lives.",
      default: '300s',
    }),
    redis_conn_info_refresh: duration({
      doc: 'How often it is renewed; less than `redis_conn_info_ttl`.',
      default: '240s',
    }),
    redis_conn_info_gc: duration({ doc: 'How often what has expired is cleared away.', default: '600s' }),
    kubernetes_api: kubernetesApiSection,
    remote_development: optionalSection({
      doc: 'Known to upstream; means nothing here.',
      keys: { poll_period: ignored(duration({ doc: 'Means nothing here.', default: '0s' })) },
    }),
    receptive_agent: section({
      doc: 'Agents that wait to be connected to.',
      keys: { poll_interval: duration({ doc: 'How often GitLab is asked which ones there are.', default: '300s' }) },
    }),
  },
  check({ redis_conn_info_ttl: ttl, redis_conn_info_refresh: refresh }, path, report) {
    if (refresh >= ttl)
      report.problem(childPath(path, 'redis_conn_info_refresh'), 'must be smaller than redis_conn_info_ttl');
  },
});

type Section = Value<typeof agentSection>;

export function buildAgent(section: Section, report: Report): AgentConfig {
  const { listen } = section;
  return {
    listen: {
      ...buildListen(listen, 'agent.listen', 'agent server', report),
      websocket: listen.websocket,
      connectionsPerTokenPerMinute: listen.connections_per_token_per_minute,
      maxConnectionAgeMs: listen.max_connection_age,
      listenGracePeriodMs: listen.listen_grace_period,
    },
    configuration: {
      pollPeriodMs: section.configuration.poll_period,
      maxConfigurationFileSize: section.configuration.max_configuration_file_size,
    },
    gitops: section.gitops && buildGitops(section.gitops),
    infoCacheTtlMs: section.info_cache_ttl,
    infoCacheErrorTtlMs: section.info_cache_error_ttl,
    redisConnInfoTtlMs: section.redis_conn_info_ttl,
    redisConnInfoRefreshMs: section.redis_conn_info_refresh,
    redisConnInfoGcMs: section.redis_conn_info_gc,
    kubernetesApi: section.kubernetes_api && buildKubernetesApi(section.kubernetes_api, report),
    receptiveAgent: { pollIntervalMs: section.receptive_agent.poll_interval },
  };
}

import { availableParallelism } from 'node:os';
import type { ServerConfig } from '../config.ts';
import { childPath } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { autoOr, size } from '../schema/number.ts';
import { flag, text } from '../schema/scalar.ts';
import { section } from '../schema/section.ts';
import { buildLimits, limitsSection } from './limits.ts';

/** Less than one flow-control window of HTTP/2 at its smallest, and nothing moves. */
const leastBudget = 64 * 1024;

const atLeast = (bytes: number): string | undefined => (bytes < leastBudget ? 'is less than 64KiB' : undefined);

export const serverSection = section({
  doc: 'How this server does its work. Our own, upstream has no such thing.',
  keys: {
    agent_compression: flag({
      doc: 'Compress what is sent to agents: saves bandwidth, costs CPU here and at the agent.',
    }),
    workers: autoOr({
      doc: 'Processes that share the work, on a machine with several cores; `auto` is one for each core. On Deno there is always one.',
      least: 1,
      most: 128,
      default: 1,
    }),
    metrics: flag({
      doc: 'Count calls, requests and bytes, and serve them to Prometheus. Without, nothing is counted and its path answers 404.',
      fallback: true,
    }),
    memory: section({
      doc: 'How much may wait in memory for those who read slowly.',
      keys: {
        per_tunnel_bytes: size({ doc: 'For one request through a tunnel.', default: '4MiB', rule: atLeast }),
        per_agent_connection_bytes: size({
          doc: 'For all streams of one agent connection.',
          default: '16MiB',
          rule: atLeast,
        }),
        total_bytes: size({ doc: 'For the whole process, each worker by itself.', default: '64MiB', rule: atLeast }),
      },
      check({ per_agent_connection_bytes: perConnection, total_bytes: total }, path, report) {
        if (perConnection > total) {
          report.problem(childPath(path, 'per_agent_connection_bytes'), 'must not be more than total_bytes');
        }
      },
    }),
    limits: limitsSection,
    debug: section({
      doc: 'Looking into the process.',
      keys: {
        enabled: flag({ doc: 'Serve `/debug/…` on the observability listener, to whoever can reach it.' }),
        folder: text({ doc: "Where profiles go; empty: the system's folder for temporary files." }),
      },
    }),
  },
});

type Section = Value<typeof serverSection>;

export function buildServer(section: Section): ServerConfig {
  return {
    agentCompression: section.agent_compression,
    metrics: section.metrics,
    workers: section.workers === 'auto' ? availableParallelism() : section.workers,
    memory: {
      perTunnelBytes: section.memory.per_tunnel_bytes,
      perAgentConnectionBytes: section.memory.per_agent_connection_bytes,
      totalBytes: section.memory.total_bytes,
    },
    limits: buildLimits(section.limits),
    debug: section.debug,
  };
}

import { availableParallelism } from 'node:os';
import type { ServerConfig } from '../config.ts';
import type { Value } from '../schema/field.ts';
import { autoOr } from '../schema/number.ts';
import { flag, text } from '../schema/scalar.ts';
import { section } from '../schema/section.ts';
import { buildLimits, limitsSection } from './limits.ts';

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
    limits: buildLimits(section.limits),
    debug: section.debug,
  };
}

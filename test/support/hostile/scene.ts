import assert from 'node:assert/strict';
import { type Handler, startBackend } from '../backend.ts';
import { type Cluster, startCluster } from '../cluster.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Endpoints } from '../kas_config.ts';
import type { ServerOptions } from '../server.ts';
import { delay } from '../wait.ts';
import { Others } from './others.ts';

/**
 * By how much resident memory may grow while somebody attacks. What bursts leave behind stays with the process for a while, and
 * one connection may have megabytes on their way; an attack that works takes all there is.
 */
const MEMORY_BOUND_BYTES = 256 << 20;

export type Listener = keyof Endpoints;

export const http2Listeners: readonly Listener[] = ['agent', 'api', 'kubernetesApi', 'privateApi'];
export const allListeners: readonly Listener[] = [...http2Listeners, 'observability'];

/** A whole server with GitLab, an agent and its cluster, to be attacked. */
export interface Scene {
  readonly cluster: Cluster;
  endpoint(listener: Listener): Endpoint;
  /** Attacks, and asserts that the process lives, that everybody else is served meanwhile, and that memory is bounded. */
  survives(attack: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

export async function setScene(options: Pick<ServerOptions, 'config' | 'tls'> = {}): Promise<Scene> {
  const paths: Record<string, Handler> = {
    '/fine': (_, response) => response.end('fine'),
    '/large': (_, response) => response.end(Buffer.alloc(8 << 20, 'x')),
    '/unread': (request) => void request.pause(),
  };
  const cluster = await startCluster({ ...options, gitlab: {}, backend: await startBackend({ paths }) });
  const { server } = cluster;
  for (let i = 0; i < 200; i++) await cluster.ask({ path: '/fine' });
  return {
    cluster,
    endpoint: (listener) => server.endpoints[listener],
    async survives(attack) {
      const before = server.residentBytes();
      let most = before;
      const others = await Others.of(cluster);
      let over = false;
      const watching = (async () => {
        while (!over) {
          most = Math.max(most, server.residentBytes());
          await delay(20);
        }
      })();
      others.start();
      try {
        await attack();
        await delay(100);
      } finally {
        over = true;
        await watching;
        await others.stop();
      }
      const { problems, milliseconds } = others;
      if (process.env.HOSTILE_FIGURES !== undefined) show(most - before, milliseconds);
      assert.deepEqual(problems, []);
      const grown = `memory grew by ${Math.round((most - before) / (1 << 20))} MiB`;
      assert.ok(most - before < MEMORY_BOUND_BYTES, grown);
      const defects = server.log.filter(({ msg }) => /defect|Unknown gRPC error|uncaught/i.test(msg));
      assert.deepEqual(defects, []);
    },
    stop: () => cluster.stop(),
  };
}

function show(grown: number, milliseconds: ReadonlyMap<string, readonly number[]>): void {
  const times = [...milliseconds].map(([what, taken]) => {
    const sorted = [...taken].sort((a, b) => a - b);
    const at = (part: number) => (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN).toFixed(1);
    return `${what}: ${sorted.length}, p50 ${at(0.5)}, p99 ${at(0.99)} ms`;
  });
  console.log(`+${(grown / (1 << 20)).toFixed(0)} MiB; ${times.join('; ')}`);
}

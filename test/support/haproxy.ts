import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, type Endpoint, freePort } from './endpoint.ts';
import type { Endpoints } from './kas_config.ts';
import { which } from './launch.ts';
import { startProxyProcess } from './proxy_process.ts';

/** A balancer in front of several nodes, which asks each one's /readiness twice a second. */
export interface HaProxy {
  readonly agents: Endpoint;
  readonly kubernetesApi: Endpoint;
  close(): Promise<void>;
}

export function haProxyProgram(): string | undefined {
  return which('haproxy') ?? which('/usr/sbin/haproxy');
}

/**
 * Requests to 8154 are balanced one by one, and never tried a second time: what a node loses is lost. Agents' connections are
 * balanced as connections.
 * @param options.redispatch a node that refuses a connection costs nothing: nothing was sent, so another node gets the request
 * @param options.connections at a time, 4000 by default
 */
export async function startHaProxy(
  nodes: readonly Endpoints[],
  options: { readonly redispatch?: boolean; readonly connections?: number } = {},
): Promise<HaProxy> {
  const program = haProxyProgram();
  if (program === undefined) throw new Error('haproxy is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'kas-haproxy-'));
  const endpoint = async (): Promise<Endpoint> => ({
    network: 'tcp',
    host: '127.0.0.1',
    port: await freePort(),
    path: '',
    ca: undefined,
  });
  const agents = await endpoint();
  const kubernetesApi = await endpoint();
  const servers = (port: (endpoints: Endpoints) => Endpoint) =>
    nodes
      .map((node, i) => {
        const check = `check port ${node.observability.port} inter 500ms fall 1 rise 1`;
        return `  server node${i} ${addressOf(port(node))} ${check}`;
      })
      .join('\n');
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  maxconn ${options.connections ?? 4000}
defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  ${options.redispatch ? 'retries 3\n  option redispatch 1' : 'retries 0'}
  option httpchk GET /readiness
  http-check expect status 200
listen agents
  bind ${addressOf(agents)}
  mode tcp
  balance roundrobin
${servers((node) => node.agent)}
listen kubernetes_api
  bind ${addressOf(kubernetesApi)}
  mode http
  balance roundrobin
  http-reuse safe
${servers((node) => node.kubernetesApi)}
`,
  );
  const { close } = await startProxyProcess(program, ['-db', '-f', 'haproxy.cfg'], { folder, listens: kubernetesApi });
  return { agents, kubernetesApi, close };
}

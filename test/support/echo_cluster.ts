import { type BackendOptions, startBackend } from './backend.ts';
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts';
import type { Answered } from './http_client.ts';

/** What an echoing cluster says that it was asked. */
export interface Echo {
  readonly method: string;
  /** Path and query, as the agent sent them. */
  readonly url: string;
  /** In lower case, in the order in which they came. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** What a browser sends of alice, who may use agent 1 as the agent itself. */
export const aliceCookie = `_gitlab_kas=${encodeURIComponent('alice+cookie value')}`;
export const aliceInBrowser = { cookie: aliceCookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' };

/** A server with GitLab, and an agent whose cluster says what it was asked, whatever the path. */
export async function startEchoCluster(
  options: Omit<ClusterOptions, 'backend' | 'gitlab'> & Pick<BackendOptions, 'paths' | 'upgrades'> = {},
): Promise<Cluster> {
  const { paths = {}, upgrades = {}, ...more } = options;
  const backend = await startBackend({
    paths,
    upgrades,
    otherwise({ method = '', url = '', rawHeaders }, response) {
      const headers = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1]]] : []));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ method, url, headers }));
    },
  });
  return await startCluster({ ...more, gitlab: {}, backend });
}

/** What the cluster was asked; fails where it did not answer. */
export function echoOf(answer: Pick<Answered, 'status' | 'text'>): Echo {
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
  return JSON.parse(answer.text) as Echo;
}

/** The values under a name, joined as HTTP has it; undefined: there is none. */
export function headerOf({ headers }: Echo, name: string): string | undefined {
  const values = headers.flatMap(([other, value]) => (other === name ? [value] : []));
  return values.length === 0 ? undefined : values.join(', ');
}

/** How often the cluster has been asked. */
export function timesAsked({ backend }: Cluster): number {
  return backend.requests.length;
}

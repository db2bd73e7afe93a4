import { writeRequestHead } from './go_headers.ts';
import type { KubeClient } from './kube_client.ts';

export interface KubernetesVersion {
  major?: string;
  minor?: string;
  gitVersion?: string;
  platform?: string;
}

/** What the cluster says it is; an empty version when it cannot be asked, as agentk reports it. */
export function kubernetesVersion(kube: KubeClient, userAgent: string): Promise<KubernetesVersion> {
  const headers = new Map([
    ['User-Agent', [userAgent]],
    ['Accept', ['application/json, */*']],
  ]);
  const authorization = kube.cluster.authorization?.();
  if (authorization !== undefined) headers.set('Authorization', [authorization]);
  const head = writeRequestHead({
    method: 'GET',
    target: '/version',
    host: kube.url.host,
    headers,
    framing: 'none',
    askForGzip: false,
  });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    kube.start(
      { method: 'GET', head, chunked: false, upgrade: false },
      {
        head: () => {},
        proceed: () => {},
        drain: () => {},
        data: (chunk) => chunks.push(chunk),
        error: () => resolve({}),
        end: () => resolve(parse(Buffer.concat(chunks))),
      },
    );
  });
}

function parse(body: Buffer): KubernetesVersion {
  try {
    const { major, minor, gitVersion, platform } = JSON.parse(body.toString('utf8')) as KubernetesVersion;
    return Object.fromEntries(
      Object.entries({ major, minor, gitVersion, platform }).filter(([, value]) => typeof value === 'string'),
    );
  } catch {
    return {};
  }
}

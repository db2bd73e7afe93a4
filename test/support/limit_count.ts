import { ask } from './http_client.ts';
import type { RunningServer } from './server.ts';

/** How often the server has counted a limit of a listener as reached. */
export function limitCount(server: RunningServer, limit: string, listener: string): Promise<number> {
  return sampleValue(server, `gitlab_kas_limit_exceeded_total{limit="${limit}",listener="${listener}"}`);
}

/** What the page of metrics says of one sample, which is named with its labels as they stand there. */
export async function sampleValue(server: RunningServer, sample: string): Promise<number> {
  const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
  if (line === undefined) throw new Error(`there is no ${sample} among\n${text}`);
  return Number(line.slice(sample.length));
}

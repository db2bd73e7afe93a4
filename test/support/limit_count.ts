import { ask } from './http_client.ts';
import type { RunningServer } from './server.ts';

/** How often the server has counted a limit of a listener as reached. */
export async function limitCount(server: RunningServer, limit: string, listener: string): Promise<number> {
  const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
  const sample = `gitlab_kas_limit_exceeded_total{limit="${limit}",listener="${listener}"} `;
  const line = text.split('\n').find((one) => one.startsWith(sample));
  if (line === undefined) throw new Error(`there is no ${sample}among\n${text}`);
  return Number(line.slice(sample.length));
}

import assert from 'node:assert/strict';
import { ask } from './http_client.ts';
import type { RunningServer } from './server.ts';

/** How often the server has counted a limit of a listener as reached. */
export function limitCount(server: RunningServer, limit: string, listener: string): Promise<number> {
  return sampleValue(server, `gitlab_kas_limit_exceeded_total{limit="${limit}",listener="${listener}"}`);
}

/** Asserts that the log says that a limit of a listener was reached, and with which setting to change it. */
export async function limitIsTold(server: RunningServer, limit: string, listener: string, key: string): Promise<void> {
  const line = await server.waitForLog(
    `of the limit ${limit}`,
    (one) => one.msg === 'Limit reached' && one.limit === limit && one.listener === listener,
  );
  assert.deepEqual([line.level, line.hint], ['warn', `${key} is the limit`]);
  assert.ok(Number(line.max) > 0 && Number(line.count) > 0, JSON.stringify(line));
}

/** What the page of metrics says of one sample, which is named with its labels as they stand there. */
export async function sampleValue(server: RunningServer, sample: string): Promise<number> {
  const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
  if (line === undefined) throw new Error(`there is no ${sample} among\n${text}`);
  return Number(line.slice(sample.length));
}

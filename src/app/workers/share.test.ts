import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createConfigFolder } from '../../../test/support/config_folder.ts';
import { shareOf } from './share.ts';

const { load, remove } = createConfigFolder();
after(remove);

test('workers together ask GitLab and Gitaly no more than one server may', async () => {
  const loaded = await load(`
gitlab: {address: "http://gl", authentication_secret_file: s32, api_rate_limit: {refill_rate_per_second: 50, bucket_size: 250}}
gitaly:
  global_api_rate_limit: {refill_rate_per_second: 30, bucket_size: 70}
  per_server_api_rate_limit: {refill_rate_per_second: 15, bucket_size: 1}
`);
  assert.ok('config' in loaded, 'problems' in loaded ? JSON.stringify(loaded.problems) : '');
  const { gitlab, gitaly, agent, server } = shareOf(loaded.config, 4);
  assert.deepEqual(gitlab?.apiRateLimit, { refillRatePerSecond: 12.5, bucketSize: 63 });
  assert.deepEqual(gitaly.globalApiRateLimit, { refillRatePerSecond: 7.5, bucketSize: 18 });
  assert.deepEqual(gitaly.perServerApiRateLimit, { refillRatePerSecond: 3.75, bucketSize: 1 });
  assert.deepEqual(agent, loaded.config.agent);
  const { connectionsPerListener, waitingRequests, unauthenticatedTimeMs } = server.limits;
  assert.deepEqual([connectionsPerListener, waitingRequests, unauthenticatedTimeMs], [4000, 2500, 30_000]);
});

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { createConfigFolder, fixtures, machine } from '../../test/support/config_folder.ts';
import type { Config } from './config.ts';
import { loadConfig } from './load.ts';
import { packConfig, unpackConfig } from './transfer.ts';

const { load, remove } = createConfigFolder();
after(remove);

/** As the channel between two processes carries it. */
function sent(config: Config): Config {
  return unpackConfig(deserialize(serialize(packConfig(config))));
}

for (const name of ['omnibus', 'chart']) {
  test(`the configuration that ${name} writes arrives whole`, async () => {
    const loaded = await loadConfig(`${fixtures}${name}.yml`, machine);
    assert.ok('config' in loaded);
    const arrived = sent(loaded.config);
    assert.deepEqual(arrived, loaded.config);
    assert.deepEqual(arrived.gitlab?.address.href, loaded.config.gitlab?.address.href);
    const secret = loaded.config.gitlab?.authenticationSecret;
    assert.deepEqual(arrived.gitlab?.authenticationSecret.reveal(), secret?.reveal());
    assert.equal(String(arrived.gitlab?.authenticationSecret), '[secret]');
  });
}

test('it arrives frozen, with ids and hashes of the types they had', async () => {
  const loaded = await load('standalone: {agents: [{id: 9223372036854775807, name: a, token_file: s32}]}\n');
  assert.ok('config' in loaded, 'problems' in loaded ? JSON.stringify(loaded.problems) : '');
  const arrived = sent(loaded.config);
  assert.deepEqual(arrived, loaded.config);
  assert.ok(Buffer.isBuffer(arrived.standalone?.agents[0]?.tokenSha256));
  assert.throws(() => Object.assign(arrived.agent.listen, { address: 'x' }), TypeError);
});

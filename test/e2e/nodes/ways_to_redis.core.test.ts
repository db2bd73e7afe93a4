// Each way to reach and log in to a Redis that the configuration knows: two nodes find each other's agent through it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import type { ConfigTree } from '../../support/kas_config.ts';
import { startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis, startSentinel, type TestRedis } from '../../support/redis.ts';
import { eventually } from '../../support/wait.ts';

const AGENT = '0100000000000000';

/** @param config section `redis` */
async function agentsAreFound(t: TestContext, redis: TestRedis, config: ConfigTree): Promise<void> {
  const backend = await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } });
  // The section as it is: what startNodes says of Redis is taken back.
  const nodes = await startNodes({
    nodes: [{}, {}],
    redis,
    backend,
    config: { redis: { server: undefined, ...config } },
  });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  const { text } = await nodes.ask(1, { path: '/hello' });
  for (const { log } of nodes.servers) {
    assert.deepEqual(
      log.filter(({ level, mod_name }) => level === 'error' && mod_name === 'redis'),
      [],
    );
  }
  assert.equal(text, 'hello\n');
}

function keyOf(prefix: string): Buffer {
  return Buffer.concat([Buffer.from(`${prefix}:tunnel_tracker2:kas_by_agent_id:`), Buffer.from(AGENT, 'hex')]);
}

function file(redis: TestRedis, name: string, content: string | Buffer): string {
  const path = join(redis.folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

test('a UNIX socket', { skip: noRedis }, async (t) => {
  const redis = await startRedis(t);
  await agentsAreFound(t, redis, { network: 'unix', server: { address: redis.socket } });
});

test('a password file, whose last newline belongs to the password', { skip: noRedis }, async (t) => {
  const redis = await startRedis(t, { config: ['requirepass "pass\\n"'], password: 'pass\n' });
  const password_file = file(redis, 'password', 'pass\n');
  await agentsAreFound(t, redis, { server: { address: redis.address }, password_file });
});

test('a user of an access control list, a database and a prefix', { skip: noRedis }, async (t) => {
  const redis = await startRedis(t);
  const rights =
    '+hset +hdel +hscan +hget +hexists +pexpire +get +set +incr +expire +publish +subscribe +ping +multi +exec +select';
  await redis.ask('ACL', 'SETUSER', 'kas', 'on', '>secret', '~kas-prefix:*', '&kas_events', ...rights.split(' '));
  await agentsAreFound(t, redis, {
    server: { address: redis.address },
    username: 'kas',
    password_file: file(redis, 'password', 'secret'),
    database_index: 3,
    key_prefix: 'kas-prefix',
  });
  const databases = String(await redis.ask('INFO', 'keyspace'));
  assert.match(databases, /db3:keys=/);
  assert.doesNotMatch(databases, /db0/);
});

test('TLS, with a client certificate and a CA of its own', { skip: noRedis }, async (t) => {
  const redis = await startRedis(t, { tls: true });
  const { cert, key } = redis.certificate ?? assert.fail();
  const certificate_file = file(redis, 'client.crt', cert);
  const tls = {
    enabled: true,
    ca_certificate_file: certificate_file,
    certificate_file,
    key_file: file(redis, 'client.key', key),
  };
  await agentsAreFound(t, redis, { server: { address: redis.address }, tls });
  assert.equal(await redis.ask('EXISTS', keyOf('gitlab-kas')), 1);
});

test('a Sentinel with TLS and a password of its own', { skip: noRedis }, async (t) => {
  const { master, sentinels, certificate } = await startSentinel(t, {
    masterName: 'mymaster',
    password: 'sentinel-secret',
    tls: true,
  });
  const { cert, key } = certificate ?? assert.fail();
  const certificate_file = file(master, 'sentinel.crt', cert);
  const tls = {
    enabled: true,
    ca_certificate_file: certificate_file,
    certificate_file,
    key_file: file(master, 'sentinel.key', key),
  };
  const sentinel_password_file = file(master, 'sentinel.password', 'sentinel-secret');
  await agentsAreFound(t, master, {
    sentinel: { master_name: 'mymaster', addresses: [...sentinels], sentinel_password_file, tls },
  });
  await eventually('the agent at the master', async () => (await master.ask('EXISTS', keyOf('gitlab-kas'))) === 1);
});

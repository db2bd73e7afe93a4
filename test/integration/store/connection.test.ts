import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RedisConfig } from '../../../src/config/config.ts';
import { Secret } from '../../../src/config/secret.ts';
import { freePort } from '../../support/endpoint.ts';
import { startRedis, startSentinel, type TestRedis } from '../../support/redis.ts';
import { delay, eventually, within } from '../../support/wait.ts';
import { connectedNode, reach, redisTest, startNode } from './setup.ts';

// How the store gets to its Redis, and what it says when it does not.

const AGENT = 7n;
const URL_HERE = 'grpc://10.0.0.1:8155';

redisTest('TCP, by address and by name', async (t) => {
  const redis = await startRedis(t);
  await assertWorks(t, reach(redis));
  await assertWorks(t, { endpoint: { address: `localhost:${redis.port}` } });
  assert.match(String(await redis.ask('CLIENT', 'LIST')), /name=gitlab-kas/);
});

redisTest('a UNIX socket', async (t) => {
  const redis = await startRedis(t);
  await assertWorks(t, { network: 'unix', endpoint: { address: redis.socket } });
});

redisTest('a password, byte for byte, also one that is no text', async (t) => {
  const password = Buffer.from('p\xe4ss word\n', 'latin1');
  const redis = await startRedis(t);
  await redis.ask('ACL', 'SETUSER', 'default', 'resetpass', Buffer.concat([Buffer.from('>'), password]));
  await assertWorks(t, { ...reach(redis), password: new Secret(password) });
  const stranger = startNode(t, { ...reach(redis), password: new Secret(Buffer.from('päss word')) });
  const line = await eventually('the refusal', () =>
    stranger.lines.find(({ message }) => message === 'Redis is not there, going on without it'),
  );
  assert.match(String(line.fields.error), /^WRONGPASS/);
  assert.equal(line.fields.hint, 'check redis.username and redis.password_file');
  assert.doesNotMatch(JSON.stringify(stranger.lines), /ss word/);
});

redisTest('a server that does not know AUTH quotes the password, we do not', async (t) => {
  const redis = await startRedis(t, { config: ['rename-command AUTH KNOCK'] });
  const node = startNode(t, { ...reach(redis), password: new Secret(Buffer.from('hunter2')) });
  const line = await eventually('the refusal', () => node.lines.find(({ level }) => level === 'error'));
  assert.match(String(line.fields.error), /^ERR unknown command '?AUTH'?$/);
  assert.doesNotMatch(JSON.stringify([node.lines, node.troubles]), /hunter2/);
});

redisTest('no password where one is wanted', async (t) => {
  const redis = await startRedis(t, { config: ['requirepass secret'], password: 'secret' });
  const node = startNode(t, reach(redis));
  const trouble = await eventually('the refusal', () => node.troubles.at(-1));
  assert.match(trouble, /^NOAUTH/);
});

redisTest('a user of an access control list who may do nothing else, and a database', async (t) => {
  const redis = await startRedis(t);
  const rights =
    '+hset +hdel +hscan +hget +hexists +pexpire +get +set +incr +expire +publish +subscribe +ping +multi +exec +select';
  await redis.ask('ACL', 'SETUSER', 'kas', 'on', '>secret', '~kas-prefix:*', '&kas_events', ...rights.split(' '));
  const password = new Secret(Buffer.from('secret'));
  await assertWorks(t, { ...reach(redis), username: 'kas', password, databaseIndex: 3, keyPrefix: 'kas-prefix' });
  assert.match(String(await redis.ask('INFO', 'keyspace')), /db3:keys=1/);
  assert.doesNotMatch(String(await redis.ask('INFO', 'keyspace')), /db0/);
});

redisTest('TLS with a client certificate, and a CA besides the system’s', async (t) => {
  const redis = await startRedis(t, { tls: true });
  const tls = filesOf(redis);
  await assertWorks(t, { ...reach(redis), tls });
  await assertWorks(t, { endpoint: { address: `localhost:${redis.port}` }, tls });
  const trustless = startNode(t, { ...reach(redis), tls: { ...tls, caCertificateFile: undefined } });
  assert.match(await eventually('distrust', () => trustless.troubles.at(-1)), /self.signed certificate/);
  const nameless = startNode(t, { ...reach(redis), tls: { ...tls, certificateFile: undefined, keyFile: undefined } });
  assert.match(
    await eventually('the server’s alert', () => nameless.troubles.at(-1)),
    /certificate required|closed|ECONNRESET/i,
  );
  const plain = startNode(t, reach(redis));
  assert.notEqual(await eventually('an end', () => plain.troubles.at(-1)), undefined);
});

redisTest('TLS where the server speaks none fails within the time for connecting', async (t) => {
  const redis = await startRedis(t);
  const tls = { certificateFile: undefined, keyFile: undefined, caCertificateFile: undefined };
  const node = startNode(t, { ...reach(redis), tls, dialTimeoutMs: 500 });
  await eventually('a reason', () => node.troubles.at(-1), 5000);
});

redisTest('a Sentinel with TLS and a password of its own, and a failover that it is asked for', async (t) => {
  const { master, replica, sentinels, certificate, failover, takenOver } = await startSentinel(t, {
    masterName: 'mymaster',
    password: 'sentinel-secret',
    tls: true,
  });
  const file = join(master.folder, 'sentinel.crt');
  writeFileSync(file, certificate?.cert ?? '');
  writeFileSync(join(master.folder, 'sentinel.key'), certificate?.key ?? '');
  const endpoint = {
    masterName: 'mymaster',
    // The first of them is not there.
    addresses: [`127.0.0.1:${await freePort()}`, ...sentinels],
    password: new Secret(Buffer.from('sentinel-secret')),
    tls: { caCertificateFile: file, certificateFile: file, keyFile: join(master.folder, 'sentinel.key') },
  };
  const node = await assertWorks(t, { endpoint });
  assert.ok(Number(await master.ask('DBSIZE')) > 0);
  await failover();
  await takenOver();
  await eventually('its use', () => node.troubles.length > 1 && node.troubles.at(-1) === undefined, 15_000);
  node.store.tunnelDirectory.announce(AGENT + 1n);
  await node.arrived();
  assert.deepEqual(await node.store.tunnelDirectory.nodesOf(AGENT + 1n), [URL_HERE]);
  assert.ok(Number(await replica.ask('DBSIZE')) >= 2);
});

redisTest('a Sentinel whose master dies: found again, with everything that was announced', async (t) => {
  const { master, sentinels, takenOver } = await startSentinel(t, { masterName: 'mymaster' });
  const endpoint = { masterName: 'mymaster', addresses: sentinels, password: undefined, tls: undefined };
  const node = await assertWorks(t, { endpoint });
  await master.stop();
  node.store.tunnelDirectory.announce(AGENT + 1n);
  await takenOver();
  for (const agentId of [AGENT, AGENT + 1n]) {
    await eventually('the announcements', async () => (await nodesOf(node, agentId)).length === 1);
  }
});

redisTest('sentinels that know no such master', async (t) => {
  const { sentinels } = await startSentinel(t, { masterName: 'mymaster' });
  const endpoint = { masterName: 'other', addresses: sentinels, password: undefined, tls: undefined };
  const node = startNode(t, { endpoint });
  const line = await eventually('the reason', () => node.lines.find(({ level }) => level === 'error'));
  assert.equal(line.fields.error, `sentinel ${sentinels[0]}: knows no master "other"`);
  assert.equal(line.fields.hint, 'check redis.sentinel.addresses and master_name');
});

redisTest('something that accepts and says nothing', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const node = startNode(t, { endpoint: { address: `127.0.0.1:${port}` }, writeTimeoutMs: 300 });
  assert.equal(await eventually('a reason', () => node.troubles.at(-1)), 'no answer within 300 ms');
});

redisTest('an answer that has come while this process had no time to read it is in time', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, { ...reach(redis), writeTimeoutMs: 300 });
  const hash = Buffer.alloc(32, 1);
  const kinds = { errors: 'agent_info_errs', answers: 'agent_info' };
  await node.store.errorCache.share(kinds, [{ hash, answer: Buffer.of(1) }]);
  redis.freeze();
  const counted = node.store.agentDirectory.count();
  // For this nobody would wait longer than a second.
  const looked = node.store.errorCache.look(kinds, hash);
  await delay(50); // it is on its way
  // The event loop looks at timers before it reads, after this.
  await new Promise((resolve) => setImmediate(resolve));
  redis.thaw();
  const busyUntil = performance.now() + 1200;
  while (performance.now() < busyUntil);
  assert.equal(await counted, 0);
  assert.deepEqual((await looked).answer, Buffer.of(1));
  await delay(100);
  assert.deepEqual(node.troubles, [undefined], 'the connection was kept');
});

redisTest('something that is no Redis', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.after(() => server.close());
  const node = startNode(t, { endpoint: { address: `127.0.0.1:${port}` }, writeTimeoutMs: 300 });
  await eventually('a reason', () => node.troubles.at(-1));
  await delay(500);
  assert.equal(
    await within(
      'a count',
      2000,
      node.store.agentDirectory.count().catch(() => 'no'),
    ),
    'no',
  );
});

async function assertWorks(t: TestContext, config: Partial<RedisConfig>) {
  const node = await connectedNode(t, config);
  node.store.tunnelDirectory.announce(AGENT);
  await node.arrived();
  assert.deepEqual(await node.store.tunnelDirectory.nodesOf(AGENT), [URL_HERE]);
  return node;
}

async function nodesOf(
  node: { store: { tunnelDirectory: { nodesOf(id: bigint): Promise<readonly string[]> } } },
  id: bigint,
) {
  return node.store.tunnelDirectory.nodesOf(id).catch(() => []);
}

/** Its own certificate, as the client's and as the CA's. */
function filesOf({ folder }: TestRedis) {
  const file = join(folder, 'server.crt');
  return { certificateFile: file, keyFile: join(folder, 'server.key'), caCertificateFile: file };
}

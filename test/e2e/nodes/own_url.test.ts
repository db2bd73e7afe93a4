// How other nodes reach this one (docs/protocol/own_private_api.md), as the log, the exit status and Redis say it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { describe, type TestContext, test } from 'node:test';
import { startAgent } from '../../support/agent/agent.ts';
import { addressOf, freePort } from '../../support/endpoint.ts';
import { startGitLab } from '../../support/gitlab/gitlab.ts';
import type { ConfigTree } from '../../support/kas_config.ts';
import { launchCommand } from '../../support/launch.ts';
import { tunnelsKey } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { makeTls } from '../../support/tls.ts';
import { eventually, within } from '../../support/wait.ts';

type Env = Readonly<Record<string, string>>;

/** A Redis that others may use, and that does not answer. */
const ELSEWHERE = '192.0.2.77:6379';

async function start(
  t: TestContext,
  env: Env,
  { listen, redis = ELSEWHERE, ready }: { listen?: ConfigTree; redis?: string | null; ready: boolean },
): Promise<RunningServer> {
  const gitlab = await startGitLab();
  t.after(() => gitlab.close());
  const server = await startServer({
    gitlab,
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [`OWN_PRIVATE_API_${name}`, value])),
    config: { ...(redis !== null && { redis: { server: { address: redis } } }), private_api: { listen: listen ?? {} } },
    ready,
  });
  t.after(() => server.kill());
  return server;
}

/** What stands in the log after the start: own URLs, and what is wrong with them. */
async function told(server: RunningServer): Promise<{ urls: string[]; warnings: string[] }> {
  await server.waitForLog('of the private API', ({ msg }) => msg === 'Private API endpoint is up');
  return {
    urls: server.log.filter(({ msg }) => msg === 'Using own private API URL').map(({ url }) => String(url)),
    warnings: server.log
      .filter(({ level, msg }) => level === 'warn' && /^Configuration: .*private_api\.listen/.test(msg))
      .map(({ msg }) => msg),
  };
}

describe('the server does not start', () => {
  const cases: readonly (readonly [name: string, env: Env, listen: ConfigTree, text: string])[] = [
    [
      'with URL and CIDR',
      { URL: 'grpc://a:1', CIDR: '10.0.0.0/8' },
      {},
      'either OWN_PRIVATE_API_URL or OWN_PRIVATE_API_CIDR should be specified, not both',
    ],
    [
      'with a port that is none',
      { PORT: '81x' },
      {},
      'error parsing OWN_PRIVATE_API_PORT environment variable: strconv.ParseUint: parsing "81x": invalid syntax',
    ],
    [
      'with a port out of range',
      { PORT: '65536' },
      {},
      'error parsing OWN_PRIVATE_API_PORT environment variable: strconv.ParseUint: parsing "65536": value out of range',
    ],
    ['with port 0', { PORT: '0' }, {}, 'invalid port in OWN_PRIVATE_API_PORT environment variable: 0'],
    [
      'with another scheme',
      { SCHEME: 'https' },
      {},
      'OWN_PRIVATE_API_SCHEME environment variable schould be either grpc or grpcs, got: https',
    ],
    [
      'with a network that is none',
      { CIDR: '127.0.0.0/8,10.0.0.1' },
      {},
      'failed to parse OWN_PRIVATE_API_CIDR environment variable: invalid CIDR address: 10.0.0.1',
    ],
    [
      'with two networks, one of them too long',
      { CIDR: '127.0.0.0/8,10.0.0.0/33' },
      {},
      'failed to parse OWN_PRIVATE_API_CIDR environment variable: invalid CIDR address: 10.0.0.0/33',
    ],
    [
      'with a network that it has no address in',
      { CIDR: '203.0.113.0/24' },
      {},
      'no IPs matched CIDR specified in the OWN_PRIVATE_API_CIDR environment variable',
    ],
    [
      'with a network and a socket, which has no port',
      { CIDR: '127.0.0.0/8' },
      { network: 'unix', address: '/tmp/kas-own-url-test.sock' },
      'cannot determine port for own URL. Specify OWN_PRIVATE_API_PORT',
    ],
  ];
  for (const [name, env, listen, text] of cases) {
    test(name, async (t) => {
      const server = await start(t, env, { listen, ready: false });
      assert.equal(await within('the end', 15_000, server.exited), 1);
      assert.ok(server.stderr().includes(`private API server: ${text}\n`), server.stderr());
    });
  }

  test('with TLS and no name for the certificates of other nodes', async (t) => {
    const gitlab = await startGitLab();
    t.after(() => gitlab.close());
    const tls = makeTls();
    const server = await startServer({
      gitlab,
      tls,
      yaml: (places) =>
        JSON.stringify({
          gitlab: { address: gitlab.url, authentication_secret_file: places.apiSecretFile },
          agent: { listen: { address: addressOf(places.endpoints.agent) } },
          observability: { listen: { address: addressOf(places.endpoints.observability) } },
          api: {
            listen: {
              address: addressOf(places.endpoints.api),
              authentication_secret_file: places.apiSecretFile,
            },
          },
          private_api: {
            listen: {
              address: addressOf(places.endpoints.privateApi),
              authentication_secret_file: places.privateApiSecretFile,
              certificate_file: places.certificateFile,
              key_file: places.keyFile,
            },
          },
        }),
      ready: false,
    });
    t.after(() => server.kill());
    assert.equal(await within('the end', 15_000, server.exited), 1);
    const advice = "Set it to the kas' host name if you want to use TLS for kas->kas communication";
    const text = `private API server: new server: OWN_PRIVATE_API_HOST environment variable is not set. ${advice}`;
    assert.ok(server.stderr().includes(text), server.stderr());
  });
});

/** In a network of its own a process has no address but loopback. */
const alone = spawnSync('unshare', ['--user', '--net', 'true']).status === 0 ? false : 'no unshare --net here';

for (const [redis, outcome] of [
  [ELSEWHERE, /private API server: could't determine own URL\. Please set OWN_PRIVATE_API_URL or OWN_PRIVATE_API_CIDR/],
  [null, /warning: .*this machine has no address at which other nodes could reach it/],
] as const) {
  const among = redis === null ? 'a warning where it is the only node' : 'an error where there may be other nodes';
  test(`a machine without an address, and a wildcard listener: ${among}`, { skip: alone }, async (t) => {
    const server = await start(t, {}, { listen: { address: '0.0.0.0:8155' }, redis, ready: false });
    const { command, args } = launchCommand();
    const checked = spawnSync('unshare', ['--user', '--net', command, ...args, 'check-config', server.configFile], {
      encoding: 'utf8',
    });
    assert.match(checked.stdout + checked.stderr, outcome);
    assert.equal(checked.status, redis === null ? 0 : 1);
  });
}

describe('the own URL', () => {
  const port = 18_155;
  const urls = [
    [
      'a URL, verbatim, whatever else is set',
      { URL: 'grpc://kas-1.example:99', PORT: 'x', SCHEME: 'y' },
      `:${port}`,
      ['grpc://kas-1.example:99'],
    ],
    ['a network, with the listener’s port', { CIDR: '127.0.0.0/8' }, `0.0.0.0:${port}`, [`grpc://127.0.0.1:${port}`]],
    [
      'one of several networks, and a port of its own',
      { CIDR: '203.0.113.0/24, 127.0.0.0/8', PORT: '9155' },
      `127.0.0.1:${port}`,
      ['grpc://127.0.0.1:9155'],
    ],
    ['a host as it is', {}, `localhost:${port}`, [`grpc://localhost:${port}`]],
    ['a port that is mapped', { PORT: '09155' }, `127.0.0.1:${port}`, ['grpc://127.0.0.1:9155']],
    ['a scheme', { SCHEME: 'grpcs' }, `127.0.0.1:${port}`, [`grpcs://127.0.0.1:${port}`]],
  ] as const;
  for (const [name, env, address, expected] of urls) {
    test(name, async (t) => {
      const server = await start(t, env, { listen: { address }, ready: true });
      assert.deepEqual((await told(server)).urls, expected);
    });
  }

  test('a socket', async (t) => {
    const path = `/tmp/kas-own-url-${process.pid}.sock`;
    const listen = { network: 'unix', address: path };
    const server = await start(t, { SCHEME: 'grpcs' }, { listen, ready: true });
    assert.deepEqual((await told(server)).urls, [`unix://${path}`]);
  });

  const own = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .map(({ address }) => address)
    .filter((ip) => !/^(127\.|169\.254\.|::1$|fe80)/.test(ip));
  const skip = own.length === 0 && 'this machine has no address but loopback';

  for (const host of ['0.0.0.0', '', '[::]']) {
    test(`of ${host || 'no host'}: every address of the family, loopback and link-local ones left out`, {
      skip,
    }, async (t) => {
      const taken = await freePort();
      const server = await start(t, {}, { listen: { address: `${host}:${taken}` }, ready: true });
      const family = host === '0.0.0.0' ? own.filter((ip) => !ip.includes(':')) : own;
      const expected = family.map((ip) => `grpc://${ip.includes(':') ? `[${ip}]` : ip}:${taken}`);
      const { urls: chosen, warnings } = await told(server);
      assert.deepEqual([...chosen].sort(), expected.sort());
      assert.deepEqual(warnings, []);
    });
  }
});

describe('a URL that other nodes cannot use is warned of at the start, where the Redis is one for several machines', () => {
  const cases: readonly (readonly [url: string, reason: string | undefined])[] = [
    ['grpc://localhost:8155', 'localhost is this machine for every machine'],
    ['grpc://127.0.0.1:8155', '127.0.0.1 is this machine for every machine'],
    ['grpcs://[::1]:8155', '::1 is this machine for every machine'],
    ['grpc://0.0.0.0:8155', '0.0.0.0 is no address to connect to'],
    ['grpc://[::]:8155', ':: is no address to connect to'],
    ['grpc://203.0.113.7:8155', 'this machine does not have the address 203.0.113.7'],
    ['unix:///run/kas.sock', 'it is a socket of this machine'],
    ['kas-1:8155', 'it is no URL of the form grpc://host:port, grpcs://host:port or unix:///path'],
    ['grpc://kas:secret@10.0.0.1:8155', 'it is no URL of the form grpc://host:port, grpcs://host:port or unix:///path'],
    ['grpc://10.0.0.1:8155/kas', 'it is no URL of the form grpc://host:port, grpcs://host:port or unix:///path'],
    ['grpc://kas-1.example:99999', 'it is no URL of the form grpc://host:port, grpcs://host:port or unix:///path'],
    ['grpc://kas-1.example:8155', undefined],
  ];
  for (const [url, reason] of cases) {
    test(url, async (t) => {
      const server = await start(t, { URL: url }, { ready: true });
      const warnings = (await told(server)).warnings.filter((text) => !text.includes('grpcs, and'));
      if (reason === undefined) assert.deepEqual(warnings, []);
      else {
        const [warning = ''] = warnings;
        assert.equal(warnings.length, 1, warnings.join('\n'));
        assert.ok(
          warning.includes(`other nodes cannot reach this one at its own URL ${url}: ${reason}; set `),
          warning,
        );
      }
    });
  }

  test('not where the Redis is this machine’s', async (t) => {
    const redis = `127.0.0.1:${await freePort()}`;
    const server = await start(t, { URL: 'grpc://localhost:8155' }, { redis, ready: true });
    assert.deepEqual((await told(server)).warnings, []);
  });
});

test('all own URLs stand in Redis for each agent, and a node does not ask itself', { skip: noRedis }, async (t) => {
  const redis = await startRedis(t);
  const port = await freePort();
  const server = await start(
    t,
    { CIDR: '127.0.0.0/8, ::1/128' },
    { listen: { address: `localhost:${port}` }, redis: redis.address, ready: true },
  );
  const { urls } = await told(server);
  const agent = await startAgent({
    kasAddress: `grpc://${addressOf(server.endpoints.agent)}`,
    token: 'agent-token-1',
    cluster: { server: 'http://127.0.0.1:9' },
  });
  t.after(() => agent.close());
  const fields = async () => ((await redis.ask('HKEYS', tunnelsKey(1))) as Buffer[]).map(String).sort();
  await eventually('the agent in Redis', async () => (await fields()).length > 0);
  assert.deepEqual(await fields(), [...urls].sort());
  assert.ok(!server.log.some(({ msg }) => msg === 'Failed to dial kas'));
});

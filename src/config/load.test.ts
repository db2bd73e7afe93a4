import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { stringify } from 'yaml';
import { createConfigFolder, fixtures, machine } from '../../test/support/config_folder.ts';
import type { Config } from './config.ts';
import { type Loaded, loadConfig } from './load.ts';
import { formatProblem } from './problem.ts';

const { folder, write, load, format, remove } = createConfigFolder();
after(remove);
const file = (name: string): string => join(folder, name);

async function problemsOf(yaml: string): Promise<string[]> {
  const loaded = await load(yaml);
  return 'problems' in loaded ? format(loaded.problems) : [];
}

async function good(yaml: string): Promise<{ config: Config; warnings: string[] }> {
  const loaded = await load(yaml);
  assert.ok('config' in loaded, 'problems' in loaded ? format(loaded.problems).join('\n') : '');
  return { config: loaded.config, warnings: format(loaded.warnings) };
}

const standalone = 'standalone: {}\n';
const gitlab = 'gitlab: {address: "http://gl", authentication_secret_file: s32}\n';

describe('a configuration', () => {
  // The Linux package's own URL is on localhost, and its Redis here is not: other nodes could not reach it. The chart's has TLS, and
  // the environment here no OWN_PRIVATE_API_SCHEME.
  for (const [name, warned] of [
    ['omnibus', ['private_api.listen']],
    ['chart', ['private_api.listen']],
  ] as const) {
    test(`as ${name} writes it means what it means to upstream`, async () => {
      const loaded = await loadConfig(`${fixtures}${name}.yml`, machine);
      assert.ok('config' in loaded, 'problems' in loaded ? loaded.problems.map(formatProblem).join('\n') : '');
      assert.deepEqual(
        // The fixtures' secrets have the modes that git gives them.
        loaded.warnings.filter(({ message }) => !/^every user of this machine/.test(message)).map(({ path }) => path),
        warned,
      );
      const printed = stringify(loaded.effective, { version: '1.1', lineWidth: 0 });
      const golden = readFileSync(`${fixtures}${name}.effective.yml`, 'utf8');
      assert.equal(printed.replaceAll(fixtures, 'test/fixtures/config/'), golden);
      const again = await load(printed);
      assert.ok('config' in again);
      assert.deepEqual(again.config, loaded.config);
    });
  }

  test('without a word about anything is all defaults', async () => {
    const { config, warnings } = await good(standalone);
    assert.deepEqual(warnings, []);
    assert.deepEqual(config.agent.listen, {
      ...{ network: 'tcp', address: '127.0.0.1:8150', tls: undefined, websocket: false },
      ...{ connectionsPerTokenPerMinute: 40_000, maxConnectionAgeMs: 7_200_000, listenGracePeriodMs: 5000 },
    });
    assert.equal(config.agent.kubernetesApi, undefined);
    assert.deepEqual(
      [config.gitlab, config.redis, config.api, config.privateApi],
      [undefined, undefined, undefined, undefined],
    );
    assert.deepEqual(config.observability.logging, { level: 'info', grpcLevel: 'error' });
    assert.equal(config.server.limits.bytesInFlight, 64 * 1024 * 1024);
    assert.equal(config.server.workers, 1);
  });

  test('has as many workers as cores if it leaves that to us', async () => {
    const { config } = await good(`${standalone}server: {workers: auto}`);
    assert.equal(config.server.workers, availableParallelism());
  });

  test('is frozen to the bottom', async () => {
    const { config } = await good(standalone);
    assert.throws(() => Object.assign(config.agent.listen, { address: 'x' }), TypeError);
  });

  test('has its paths from its own folder, and slashes around the prefix', async () => {
    const yaml = `${standalone}agent: {listen: {network: unix, address: a.sock, certificate_file: server.crt, key_file: server.key}, kubernetes_api: {url_path_prefix: k8s}}`;
    const { agent } = (await good(yaml)).config;
    assert.equal(agent.listen.address, file('a.sock'));
    assert.deepEqual(agent.listen.tls, { certificateFile: file('server.crt'), keyFile: file('server.key') });
    assert.equal(agent.kubernetesApi?.urlPathPrefix, '/k8s/');
    assert.equal(agent.kubernetesApi?.listen.shutdownGracePeriodMs, 3_600_000);
  });

  test('opens secrets in the ways of their kinds, and shows none of them', async () => {
    const yaml = `${gitlab}api: {listen: {authentication_secret_file: s3}}
redis: {server: {address: "a:1"}, password_file: password, sentinel: null}
observability: {tracing: {otlp_endpoint: "http://o", otlp_token_secret_file: otlp}}
agent: {kubernetes_api: {websocket_token_secret_file: s72}, gitops: {}}
`;
    const { config, warnings } = await good(yaml);
    assert.equal(config.gitlab?.authenticationSecret.reveal().length, 32);
    assert.equal(config.redis?.password?.reveal().toString(), 'pass\n');
    assert.equal(config.observability.tracing?.otlpToken?.reveal().toString(), 'glpat-x');
    assert.equal(config.agent.kubernetesApi?.websocketTokenSecret?.reveal().length, 72);
    assert.deepEqual(warnings, [
      'c.yaml:2:44: api.listen.authentication_secret_file: API server: auth secret file: a key of 3 bytes is weak, use 32',
      'c.yaml:5:61: agent.gitops: retired in GitLab 18; only agents of GitLab 16 and older use it',
    ]);
    assert.equal(config.agent.gitops?.maxNumberOfFiles, 1000);
    assert.doesNotMatch(inspect(config, { depth: 9 }), /glpat|pass\\n/);
  });

  test('shows neither passwords nor the values of queries', async () => {
    const tracing = '{otlp_endpoint: "https://me:hunter2@otlp.example/v1/traces?api-key=hunter3&dataset=hunter4"}';
    const dsn = 'https://public:hunter5@sentry.example/7';
    const yaml = `${standalone}observability: {tracing: ${tracing}, sentry: {dsn: "${dsn}"}}\n`;
    const { config } = await good(yaml);
    assert.equal(config.observability.tracing?.otlpEndpoint.searchParams.get('api-key'), 'hunter3');
    const shown = stringify(effectiveOf(await load(yaml)));
    assert.doesNotMatch(shown, /hunter/);
    assert.match(shown, /otlp_endpoint: https:\/\/me@otlp\.example\/v1\/traces\?api-key=&dataset=$/m);
    assert.match(shown, /dsn: https:\/\/public@sentry\.example\/7$/m);
  });

  test('keeps only digests of standalone tokens', async () => {
    const digest = createHash('sha256').update('agent').digest('hex');
    const { config } = await good(`
standalone:
  agents: [{id: 1, name: demo, token_sha256: "${digest}"}, {id: "2", name: other, token_sha256: "${'F'.repeat(64)}"}]
  users:
    - {name: alice, token_file: alice.token, agents: [1, 2], access_as: user}
    - {name: bob, token_sha256: "${'e'.repeat(64)}", agents: "*", access_as: {impersonate: {username: u, groups: [g], extra: [{key: k, val: [v]}]}}}
`);
    const { agents, users } = config.standalone ?? assert.fail();
    assert.deepEqual(agents[0], { id: 1n, name: 'demo', tokenSha256: Buffer.from(digest, 'hex') });
    assert.deepEqual(users[0]?.tokenSha256, createHash('sha256').update('alice-token').digest());
    assert.deepEqual([users[0]?.agents, users[0]?.accessAs], [[1n, 2n], 'user']);
    const impersonate = { username: 'u', groups: ['g'], uid: '', extra: [{ key: 'k', val: ['v'] }] };
    assert.deepEqual([users[1]?.agents, users[1]?.accessAs], ['*', { impersonate }]);
    const again = await loadConfig(write('again.yaml', stringify(effectiveOf(await loadConfig(file('c.yaml'))))));
    assert.deepEqual('config' in again ? again.config.standalone : again.problems, config.standalone);
  });
});

function effectiveOf(loaded: Loaded): unknown {
  return 'effective' in loaded ? loaded.effective : assert.fail();
}

describe('the own private API', () => {
  const yaml = (more: string): string =>
    write('private.yaml', `${standalone}private_api: {listen: {authentication_secret_file: s32, ${more}}}`);
  const tls = 'certificate_file: server.crt, key_file: server.key';

  test('has a URL for others, and a name', async () => {
    const loaded = await loadConfig(yaml('address: ":9"'), machine);
    assert.ok('config' in loaded);
    const { ownUrls, tlsServerName } = loaded.config.privateApi ?? assert.fail();
    assert.deepEqual([ownUrls, tlsServerName], [['grpc://10.0.0.7:9'], 'kas.example']);
  });

  test('warns where others cannot reach it', async () => {
    const loaded = await loadConfig(yaml('address: ":9"'), { env: {}, addresses: [] });
    assert.ok('config' in loaded);
    assert.match(loaded.warnings.map(formatProblem).join(), /private_api\.listen: this machine has no address/);
  });

  test('must have a URL where there is a Redis, and is warned of one that others cannot reach', async () => {
    const redis = (address: string) => `redis: {server: {address: "${address}"}}\n`;
    const nowhere = await loadConfig(`${yaml('address: ":9"')}`, { env: {}, addresses: [] });
    assert.ok('config' in nowhere);
    const withRedis = write('redis.yaml', `${readFileSync(yaml('address: ":9"'), 'utf8')}\n${redis('redis:6379')}`);
    const none = await loadConfig(withRedis, { env: {}, addresses: [] });
    assert.ok('problems' in none);
    assert.match(none.problems.map(formatProblem).join(), /private API server: could't determine own URL/);
    const local = await loadConfig(withRedis, { env: { OWN_PRIVATE_API_URL: 'grpc://localhost:9' }, addresses: [] });
    const alone = write(
      'alone.yaml',
      `${readFileSync(yaml('address: "localhost:9"'), 'utf8')}\n${redis('127.0.0.1:6379')}`,
    );
    const single = await loadConfig(alone, { env: {}, addresses: [] });
    const warnings = [local, single].map((loaded) => loaded.warnings.map(formatProblem).join());
    assert.match(
      warnings[0] ?? '',
      /other nodes cannot reach this one at its own URL grpc:\/\/localhost:9: localhost is/,
    );
    assert.doesNotMatch(warnings[1] ?? '', /cannot reach/);
  });

  test('is warned of a URL whose scheme does not fit what it speaks', async () => {
    const env = { OWN_PRIVATE_API_HOST: 'kas', OWN_PRIVATE_API_SCHEME: 'grpcs' };
    const warned = async (listen: string, more: Readonly<Record<string, string>>) =>
      (await loadConfig(yaml(listen), { env: more, addresses: ['10.0.0.1'] })).warnings.map(formatProblem).join();
    assert.match(
      await warned(tls, { OWN_PRIVATE_API_HOST: 'kas' }),
      /grpc:\/\/\S+ says grpc, and the listener speaks TLS/,
    );
    assert.match(
      await warned('address: ":9"', env),
      /grpcs:\/\/10\.0\.0\.1:9 says grpcs, and the listener has no cert/,
    );
    assert.doesNotMatch(await warned(tls, env), /says grpc/);
  });

  test('needs a name for TLS, and a sound environment', async () => {
    const loaded = await loadConfig(yaml(tls), { env: { OWN_PRIVATE_API_PORT: '0' }, addresses: [] });
    assert.deepEqual('problems' in loaded && loaded.problems.map(({ path, message }) => [path, message.slice(0, 80)]), [
      ['private_api.listen', 'private API server: new server: OWN_PRIVATE_API_HOST environment variable is not'],
      ['private_api.listen', 'private API server: invalid port in OWN_PRIVATE_API_PORT environment variable: 0'],
    ]);
  });
});

describe('config.command', () => {
  const script = write('more', '#!/bin/sh\n[ "$1 $2" = "kas x" ] || exit 3\ncat "$(dirname "$0")/printed"\n', 0o755);
  const base = `${standalone}redis: {server: {address: "a:1"}, key_prefix: p}\nconfig: {command: ${script} kas  x}\n`;

  test('lays its output over the file', async () => {
    write(
      'printed',
      'redis: {sentinel: {master_name: m, addresses: ["s:1"]}, password: hunter2}\nconfig: {command: /nope}\n',
    );
    const { config } = await good(base);
    assert.deepEqual(config.redis?.endpoint, {
      masterName: 'm',
      addresses: ['s:1'],
      password: undefined,
      tls: undefined,
    });
    assert.equal(config.redis?.keyPrefix, 'p');
    assert.equal(config.redis?.password?.reveal().toString(), 'hunter2');
    const shown = JSON.stringify(effectiveOf(await load(base)));
    assert.doesNotMatch(shown, /hunter2|command/);
    assert.match(shown, /sentinel/);
  });

  const failing: readonly [name: string, printed: string, command: string, expected: string][] = [
    [
      'a wrong value',
      '\nredis: {network: x}',
      `${script} kas x`,
      '<command>:2:18: redis.network: "x" is not one of tcp, unix',
    ],
    [
      'a password of the wrong type',
      'redis: {password: 1234}',
      `${script} kas x`,
      '<command>:1:19: redis.password: is not a string (put it into quotes)',
    ],
    ['no mapping', 'oops', `${script} kas x`, '<command>:1:1: is not a mapping of keys to values'],
    ['nothing', '', `${script} kas x`, '<command>:1:1: there is no configuration in it'],
    ['an exit status', '', script, 'c.yaml:3:19: config.command: more ended with exit status 3'],
    ['no absolute path', '', 'more', 'c.yaml:3:19: config.command: must begin with the absolute path of an executable'],
  ];
  for (const [name, printed, command, expected] of failing) {
    test(`fails the start with ${name}`, async () => {
      write('printed', printed);
      assert.deepEqual(await problemsOf(base.replace(`${script} kas  x`, command)), [expected]);
    });
  }

  test('fails the start when it cannot be run', async () => {
    const [problem] = await problemsOf(`${standalone}config: {command: /nope/nope}`);
    assert.match(problem ?? '', /^c\.yaml:2:19: config\.command: cannot run \/nope\/nope: .*ENOENT/);
  });

  test('may be null', async () => {
    assert.deepEqual((await good(`${standalone}config:\n`)).warnings, []);
    assert.deepEqual((await good(`${standalone}config: {command: }\n`)).warnings, []);
  });
});

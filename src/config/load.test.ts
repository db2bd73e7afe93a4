import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { stringify } from 'yaml';
import type { Config } from './config.ts';
import { type Loaded, loadConfig } from './load.ts';
import type { Machine } from './own_private_api.ts';
import { formatProblem } from './problem.ts';

const fixtures = fileURLToPath(new URL('../../test/fixtures/config/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'kas-config-'));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Buffer, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode });
  return path;
}

const base64 = (bytes: number): string => Buffer.alloc(bytes, 1).toString('base64');
write('s0', '');
write('s3', base64(3));
write('s32', `${base64(32)}\n`);
write('s72', base64(72));
write('bad', 'abc!');
write('alice.token', 'alice-token\n');
write('two-lines', 'a\nb\n');
write('otlp', '  glpat-x \n');
write('password', 'pass\n');
for (const name of ['server.crt', 'server.key', 'other.key']) write(name, readFileSync(join(fixtures, name)));
const file = (name: string): string => join(folder, name);

const machine: Machine = { env: { OWN_PRIVATE_API_HOST: 'kas.example' }, addresses: ['127.0.0.1', '10.0.0.7'] };

function load(yaml: string): Promise<Loaded> {
  return loadConfig(write('c.yaml', yaml), machine);
}

async function problemsOf(yaml: string): Promise<string[]> {
  const loaded = await load(yaml);
  return 'problems' in loaded
    ? loaded.problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ''))
    : [];
}

async function good(yaml: string): Promise<{ config: Config; warnings: string[] }> {
  const loaded = await load(yaml);
  assert.ok('config' in loaded, 'problems' in loaded ? loaded.problems.map(formatProblem).join('\n') : '');
  return {
    config: loaded.config,
    warnings: loaded.warnings.map((warning) => formatProblem(warning).replace(`${folder}/`, '')),
  };
}

const standalone = 'standalone: {}\n';
const gitlab = 'gitlab: {address: "http://gl", authentication_secret_file: s32}\n';

const wrong: readonly [name: string, yaml: string, ...expected: string[]][] = [
  ['an empty file', '', 'c.yaml:1:1: there is no configuration in it'],
  ['a list', '- a', 'c.yaml:1:1: is not a mapping of keys to values'],
  ['neither gitlab nor standalone', '{}', 'c.yaml:1:1: one of gitlab and standalone is required'],
  [
    'both',
    gitlab + standalone,
    'c.yaml:2:1: standalone: there is a gitlab section already: only one of gitlab and standalone',
  ],
  [
    'an empty gitlab',
    'a: 1\ngitlab: {}',
    'c.yaml:2:1: gitlab.address: is required',
    'c.yaml:2:1: gitlab.authentication_secret_file: is required',
  ],
  [
    'an address that is no URL',
    'gitlab: {address: foo, authentication_secret_file: s32}',
    'c.yaml:1:19: gitlab.address: "foo" is not an absolute URL',
  ],
  [
    'a short secret',
    'gitlab: {address: "http://gl", authentication_secret_file: s3}',
    'c.yaml:1:60: gitlab.authentication_secret_file: authentication secret: decoding: expecting 32 bytes, was 3',
  ],
  [
    'a secret that is no base64',
    'gitlab: {address: "http://gl", authentication_secret_file: bad}',
    'c.yaml:1:60: gitlab.authentication_secret_file: authentication secret: read file: decoding: illegal base64 data at input byte 3',
  ],
  [
    'a missing secret',
    'gitlab: {address: "http://gl", authentication_secret_file: nope}',
    'c.yaml:1:60: gitlab.authentication_secret_file: authentication secret: read file: read file: open nope: no such file or directory',
  ],
  [
    'a folder as a secret',
    'gitlab: {address: "http://gl", authentication_secret_file: .}',
    `c.yaml:1:60: gitlab.authentication_secret_file: authentication secret: read file: read file: open ${folder}: is a directory`,
  ],
  [
    'an empty api secret',
    `${standalone}api: {listen: {authentication_secret_file: s0}}`,
    'c.yaml:2:44: api.listen.authentication_secret_file: API server: auth secret file: decoding: the file is empty, anybody could sign with it',
  ],
  [
    'no private_api secret',
    `${standalone}private_api:\n  listen: {}`,
    'c.yaml:3:3: private_api.listen.authentication_secret_file: is required',
  ],
  [
    'a short websocket secret',
    `${standalone}agent: {kubernetes_api: {websocket_token_secret_file: s32}}`,
    'c.yaml:2:55: agent.kubernetes_api.websocket_token_secret_file: websocket token secret: decoding: expecting 72 bytes, was 32',
  ],
  [
    'several at once, in order',
    `agent: {listen: {network: tpc, address: x}}\nserver: {memory: {total_bytes: 1}}\n`,
    'c.yaml:1:1: one of gitlab and standalone is required',
    'c.yaml:1:27: agent.listen.network: "tpc" is not one of tcp, tcp4, tcp6, unix (did you mean tcp?)',
    'c.yaml:2:32: server.memory.total_bytes: 1 is less than 64KiB',
  ],
  [
    'a listen address',
    `${standalone}agent: {listen: {address: "a:99999"}}`,
    'c.yaml:2:27: agent.listen.address: "a:99999" has no port between 0 and 65535',
  ],
  [
    'a socket path too long',
    `${standalone}agent: {listen: {network: unix, address: /${'a'.repeat(107)}}}`,
    `c.yaml:2:42: agent.listen.address: "/${'a'.repeat(107)}" is too long for a socket: 108 bytes, and the system takes 107`,
  ],
  [
    'a socket without a path',
    `${standalone}agent:\n  listen: {network: unix}`,
    'c.yaml:3:3: agent.listen.address: "127.0.0.1:8150" is host:port, and network: unix needs the path of a socket',
  ],
  [
    'a path without network: unix',
    `${standalone}agent: {listen: {address: /run/kas.sock}}`,
    'c.yaml:2:27: agent.listen.address: "/run/kas.sock" is not host:port (for a socket, set network: unix)',
  ],
  [
    'refresh not smaller than ttl',
    `${standalone}agent: {redis_conn_info_refresh: 300s}`,
    'c.yaml:2:34: agent.redis_conn_info_refresh: must be smaller than redis_conn_info_ttl',
  ],
  [
    'half a key pair',
    `${standalone}agent: {listen: {certificate_file: server.crt}}`,
    'c.yaml:2:36: agent.listen.certificate_file: agent server: both certificate file (server.crt) and key file () must be either specified or not',
  ],
  [
    'a certificate that is not there',
    `${standalone}agent: {listen: {certificate_file: a, key_file: b}}`,
    'c.yaml:2:36: agent.listen.certificate_file: agent server: loading certificate (a) and key (b) files: open a: no such file or directory',
  ],
  [
    'a key of another certificate',
    `${standalone}agent: {kubernetes_api: {listen: {certificate_file: server.crt, key_file: other.key}}}`,
    'c.yaml:2:53: agent.kubernetes_api.listen.certificate_file: kubernetes API server: loading certificate (server.crt) and key (other.key) files: the key does not belong to the (first) certificate',
  ],
  ['redis without a server', `${standalone}redis: {}`, 'c.yaml:2:1: redis: one of server and sentinel is required'],
  [
    'redis with both',
    `${standalone}redis: {sentinel: {master_name: a, addresses: ["b:1"]}, server: {address: "c:1"}}`,
    'c.yaml:2:9: redis.sentinel: there is a server already: only one of server and sentinel',
  ],
  [
    'a sentinel’s address',
    `${standalone}redis: {sentinel: {master_name: a, addresses: [b]}}`,
    'c.yaml:2:48: redis.sentinel.addresses[0]: "b" is not host:port',
  ],
  [
    'a CA file that is not there',
    `${standalone}redis: {tls: {enabled: true, ca_certificate_file: nope}, server: {address: "c:1"}}`,
    'c.yaml:2:51: redis.tls.ca_certificate_file: CA certificate file: open nope: no such file or directory',
  ],
  [
    'a CA file without a certificate',
    `${standalone}redis: {tls: {enabled: true, ca_certificate_file: s32}, server: {address: "c:1"}}`,
    'c.yaml:2:51: redis.tls.ca_certificate_file: AppendCertsFromPEM(s32) failed',
  ],
  [
    'a client’s half key pair',
    `${standalone}redis: {tls: {enabled: true, key_file: server.key}, server: {address: "c:1"}}`,
    'c.yaml:2:40: redis.tls.key_file: both certificate () and key (server.key) files must be specified',
  ],
  [
    'a DSN',
    `${standalone}observability: {sentry: {dsn: x}}`,
    'c.yaml:2:31: observability.sentry.dsn: "x" error tracker: DSN has an invalid scheme',
  ],
  [
    'a budget above the whole',
    `${standalone}server: {memory: {per_agent_connection_bytes: 65MiB}}`,
    'c.yaml:2:47: server.memory.per_agent_connection_bytes: must not be more than total_bytes',
  ],
  [
    'a header name',
    `${standalone}agent: {kubernetes_api: {extra_allowed_response_headers: ["a b"]}}`,
    'c.yaml:2:59: agent.kubernetes_api.extra_allowed_response_headers[0]: "a b" is no header name',
  ],
  [
    'a tracing URL',
    `${standalone}observability: {tracing: {otlp_endpoint: "ftp://a"}}`,
    'c.yaml:2:42: observability.tracing.otlp_endpoint: "ftp://a" is not a URL with http://, https://',
  ],
  [
    'agents without tokens',
    'standalone:\n  agents:\n    - {id: 1, name: a}',
    'c.yaml:3:7: standalone.agents[0].token_file: is required (or token_sha256)',
  ],
  [
    'an agent with two tokens',
    `standalone: {agents: [{id: 1, name: a, token_file: alice.token, token_sha256: "${'0'.repeat(64)}"}]}`,
    'c.yaml:1:79: standalone.agents[0].token_sha256: there is a token_file already: only one of the two',
  ],
  [
    'a digest',
    'standalone: {agents: [{id: 1, name: a, token_sha256: "00"}]}',
    'c.yaml:1:54: standalone.agents[0].token_sha256: "00" is not 64 hexadecimal digits',
  ],
  [
    'an empty token',
    'standalone: {agents: [{id: 1, name: a, token_file: s0}]}',
    'c.yaml:1:52: standalone.agents[0].token_file: token: the file is empty',
  ],
  [
    'a token of two lines',
    'standalone: {agents: [{id: 1, name: a, token_file: two-lines}]}',
    'c.yaml:1:52: standalone.agents[0].token_file: token: only visible ASCII characters can be sent in a header',
  ],
  [
    'an id twice',
    `standalone: {agents: [{id: 1, name: a, token_sha256: "${'0'.repeat(64)}"}, {id: 1, name: b, token_sha256: "${'1'.repeat(64)}"}]}`,
    'c.yaml:1:128: standalone.agents[1].id: agent 1 is there already',
  ],
  [
    'a token twice',
    'standalone: {agents: [{id: 1, name: a, token_file: alice.token}, {id: 2, name: b, token_file: alice.token}]}',
    'c.yaml:1:66: standalone.agents[1]: has the same token as standalone.agents[0]',
  ],
  [
    'a user of an unknown agent',
    'standalone: {users: [{name: a, token_file: alice.token, agents: [7], access_as: agent}]}',
    'c.yaml:1:65: standalone.users[0].agents: no such agent: 7',
  ],
  [
    'a user without access_as',
    'standalone: {users: [{name: a, token_file: alice.token, agents: "*"}]}',
    'c.yaml:1:22: standalone.users[0].access_as: is required: agent, user or { impersonate: … }',
  ],
  [
    'access_as',
    'standalone: {users: [{name: a, token_file: alice.token, agents: "*", access_as: usr}]}',
    'c.yaml:1:81: standalone.users[0].access_as: "usr" is neither agent, user nor { impersonate: … } (did you mean user?)',
  ],
  [
    'an impersonation of nobody',
    'standalone: {users: [{name: a, token_file: alice.token, agents: "*", access_as: {impersonate: {groups: [g]}}}]}',
    'c.yaml:1:82: standalone.users[0].access_as.impersonate.username: is required',
  ],
  [
    'agents of a user',
    'standalone: {users: [{name: a, token_file: alice.token, agents: all, access_as: user}]}',
    'c.yaml:1:65: standalone.users[0].agents: "all" is neither a list of agents nor "*"',
  ],
];

describe('a configuration is refused for', () => {
  for (const [name, yaml, ...expected] of wrong) {
    test(name, async () => assert.deepEqual(await problemsOf(yaml), expected));
  }

  test('being unreadable, not UTF-8 or endless', async () => {
    const lines = async (path: string): Promise<string[]> => {
      const loaded = await loadConfig(path);
      return 'problems' in loaded ? loaded.problems.map(formatProblem) : [];
    };
    assert.deepEqual(await lines('/nope.yaml'), ['open /nope.yaml: no such file or directory']);
    const binary = write('binary', Buffer.from([0x61, 0x3a, 0xff]));
    assert.deepEqual(await lines(binary), [`${binary}:1:1: is not UTF-8`]);
    const long = write('long', `#${' '.repeat(1024 * 1024)}`);
    assert.deepEqual(await lines(long), [`${long}:1:1: is too long`]);
  });
});

describe('a configuration', () => {
  for (const name of ['omnibus', 'chart']) {
    test(`as ${name} writes it means what it means to upstream`, async () => {
      const loaded = await loadConfig(`${fixtures}${name}.yml`, machine);
      assert.ok('config' in loaded, 'problems' in loaded ? loaded.problems.map(formatProblem).join('\n') : '');
      assert.deepEqual(
        loaded.warnings.map(({ path }) => path),
        ['redis'],
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
    assert.equal(config.server.memory.totalBytes, 64 * 1024 * 1024);
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
      'c.yaml:3:1: redis: not used yet: what nodes share is kept in this process, so run only one node',
      'c.yaml:5:61: agent.gitops: retired in GitLab 18; only agents of GitLab 16 and older use it',
    ]);
    assert.equal(config.agent.gitops?.maxNumberOfFiles, 1000);
    assert.doesNotMatch(inspect(config, { depth: 9 }), /glpat|pass\\n/);
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

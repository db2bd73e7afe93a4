import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createConfigFolder } from '../../test/support/config_folder.ts';
import { loadConfig } from './load.ts';
import { formatProblem } from './problem.ts';

const { folder, write, load, format, remove } = createConfigFolder();
after(remove);

async function problemsOf(yaml: string): Promise<string[]> {
  const loaded = await load(yaml);
  return 'problems' in loaded ? format(loaded.problems) : [];
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
    `agent: {listen: {network: tpc, address: x}}\nserver: {limits: {message_bytes: 1}}\n`,
    'c.yaml:1:1: one of gitlab and standalone is required',
    'c.yaml:1:27: agent.listen.network: "tpc" is not one of tcp, tcp4, tcp6, unix (did you mean tcp?)',
    'c.yaml:2:34: server.limits.message_bytes: 1 is less than 256KiB',
  ],
  [
    'too many workers',
    `${standalone}server: {workers: 129}`,
    'c.yaml:2:19: server.workers: 129 is out of range, 1 to 128',
  ],
  [
    'no number of workers',
    `${standalone}server: {workers: all}`,
    'c.yaml:2:19: server.workers: "all" is neither a whole number nor auto',
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
    'a URL with a password where an address belongs',
    `${standalone}redis: {server: {address: "redis://:hunter2@r:1"}}`,
    'c.yaml:2:27: redis.server.address: "redis://@r:1" is not host:port',
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
    `${standalone}server: {limits: {bytes_in_flight_per_agent_connection: 65MiB}}`,
    'c.yaml:2:57: server.limits.bytes_in_flight_per_agent_connection: must not be more than bytes_in_flight',
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

// Configurations and surroundings with which the server cannot start: one clear line, exit status 1, no secret shown.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Places } from '../support/kas_config.ts';
import { readiness, runToEnd, type ServerOptions, startServer } from '../support/server.ts';
import { within } from '../support/wait.ts';

const minimal = (places: Places, more = ''): string => `standalone: { agents: [], users: [] }
observability: { listen: { address: "127.0.0.1:${places.endpoints.observability.port}" } }
agent:
  listen: { address: "127.0.0.1:${places.endpoints.agent.port}" }
  kubernetes_api: { listen: { address: "127.0.0.1:${places.endpoints.kubernetesApi.port}" } }
${more}`;

/** Starts, waits for the end and gives back the one line that says why. */
async function aborts(options: ServerOptions): Promise<string> {
  const server = await startServer({ ...options, ready: false });
  try {
    const status = await within('the end', 15_000, server.exited);
    assert.equal(status, 1, server.stderr());
    assert.equal(server.stdout(), '');
    const lines = server.stderr().split('\n');
    const aborted = lines.filter((line) => line.startsWith('Program aborted: '));
    assert.equal(aborted.length, 1, server.stderr());
    return server.stderr().slice(server.stderr().indexOf('Program aborted: '));
  } finally {
    await server.kill();
  }
}

const b64 = (bytes: number) => Buffer.alloc(bytes, 's').toString('base64');
const gitlabAndApi = (
  places: Places,
) => `gitlab: { address: "http://127.0.0.1:1", authentication_secret_file: "${places.apiSecretFile}" }
observability: { listen: { address: "127.0.0.1:${places.endpoints.observability.port}" } }
agent:
  listen: { address: "127.0.0.1:${places.endpoints.agent.port}" }
  kubernetes_api:
    listen: { address: "127.0.0.1:${places.endpoints.kubernetesApi.port}" }
    websocket_token_secret_file: "${places.websocketTokenSecretFile}"
api: { listen: { address: "127.0.0.1:${places.endpoints.api.port}", authentication_secret_file: "${places.privateApiSecretFile}" } }
`;

describe('files', () => {
  test('a configuration file that is not there', async () => {
    const { status, stderr } = await runToEnd(['--configuration-file', '/nowhere/kas.yml']);
    assert.equal(status, 1);
    assert.match(stderr, /^Program aborted: .*\/nowhere\/kas\.yml.*no such file/im);
  });

  test('a configuration file that is a folder', async () => {
    const { status, stderr } = await runToEnd(['--configuration-file', '/tmp']);
    assert.equal(status, 1);
    assert.match(stderr, /^Program aborted: .*\/tmp.*directory/im);
  });

  test('a configuration file that may not be read', {
    skip: process.getuid?.() === 0 && 'root may read everything',
  }, async () => {
    const line = await aborts({
      yaml: (places) => {
        const path = join(places.folder, 'token');
        writeFileSync(path, 't');
        chmodSync(path, 0);
        return minimal(places).replace('agents: []', `agents: [{ id: 1, name: a, token_file: ${path} }]`);
      },
    });
    assert.match(line, /permission denied/i);
  });

  test('YAML that is none: with line and column', async () => {
    assert.match(await aborts({ yaml: (places) => minimal(places, 'agent: [}\n') }), /gitlab-kas-config\.yml:6:\d+/);
  });

  test('an empty file', async () => {
    assert.match(await aborts({ yaml: () => '' }), /gitlab|standalone/);
  });

  test('bytes that are no text', async () => {
    assert.match(await aborts({ yaml: () => '\u0000\u0001\u0002\ufffd' }), /gitlab-kas-config\.yml/);
  });

  test('aliases that would grow without limit', async () => {
    let bomb = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n';
    for (let i = 1; i < 10; i += 1)
      bomb += `a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]\n`;
    assert.match(await aborts({ yaml: (places) => minimal(places, bomb) }), /gitlab-kas-config\.yml|alias/i);
  });

  test('wrong types, bad durations, values out of range: all of them in one list', async () => {
    const line = await aborts({
      yaml: (places) =>
        minimal(places)
          .replace('agent:\n', 'agent:\n  info_cache_ttl: 5 minutes\n  configuration: { poll_period: 0s }\n')
          .replace('kubernetes_api: {', 'kubernetes_api: { url_path_prefix: [1],'),
    });
    assert.match(line, /gitlab-kas-config\.yml:4:\d+: agent\.info_cache_ttl/);
    assert.match(line, /gitlab-kas-config\.yml:5:\d+: agent\.configuration\.poll_period/);
    assert.match(line, /gitlab-kas-config\.yml:7:\d+: agent\.kubernetes_api\.url_path_prefix/);
  });

  test('gitlab: and standalone: together, or neither', async () => {
    const both = await aborts({ yaml: (places) => `${gitlabAndApi(places)}standalone: { agents: [], users: [] }\n` });
    assert.match(both, /gitlab.*standalone|standalone.*gitlab/s);
    const none = await aborts({ yaml: (places) => minimal(places).replace(/^standalone:.*\n/, '') });
    assert.match(none, /gitlab.*standalone|standalone.*gitlab/s);
  });

  test('config.command that fails', async () => {
    const line = await aborts({ yaml: (places) => minimal(places, 'config: { command: /bin/false }\n') });
    assert.match(line, /\/bin\/false/);
  });
});

describe('secrets', () => {
  const withSecret = (pick: (places: Places) => string, content: string): ServerOptions => ({
    yaml: (places) => {
      writeFileSync(pick(places), content);
      return gitlabAndApi(places);
    },
  });

  test('the gitlab secret has 32 bytes', async () => {
    const line = await aborts(withSecret((p) => p.apiSecretFile, b64(31)));
    assert.match(line, /32 bytes/);
    assert.match(line, /31/);
    assert.ok(!line.includes(b64(31)), 'the secret is not shown');
  });

  test('the WebSocket token secret has 72 bytes', async () => {
    assert.match(await aborts(withSecret((p) => p.websocketTokenSecretFile, b64(32))), /72 bytes/);
  });

  test('a secret that is no base64', async () => {
    const line = await aborts(withSecret((p) => p.apiSecretFile, 'not-base-64!'));
    assert.match(line, /base64/);
    assert.ok(!line.includes('not-base-64'), 'the secret is not shown');
  });

  for (const section of ['api', 'private_api'] as const) {
    /** The section, with a secret of its own. */
    const withOwnSecret = (content: string): ServerOptions => ({
      yaml: (places) => {
        const path = join(places.folder, 'own.secret');
        writeFileSync(path, content, { mode: 0o600 });
        const { port } = places.endpoints[section === 'api' ? 'api' : 'privateApi'];
        return minimal(
          places,
          `${section}: { listen: { address: "127.0.0.1:${port}", authentication_secret_file: "${path}" } }\n`,
        );
      },
    });

    test(`an empty secret of ${section} is refused`, async () => {
      const line = await aborts(withOwnSecret(''));
      assert.match(line, new RegExp(`: ${section}\\.listen\\.authentication_secret_file: .*the file is empty`));
    });

    for (const [bytes, isWeak] of [
      [31, true],
      [32, false],
    ] as const)
      test(`a secret of ${section} with ${bytes} bytes ${isWeak ? 'warns and ' : ''}serves`, async () => {
        const server = await startServer(withOwnSecret(b64(bytes)));
        await server.kill();
        const warnings = server.log.filter(({ level, msg }) => level === 'warn' && /is weak/.test(msg));
        assert.equal(warnings.length, isWeak ? 1 : 0, server.stderr());
      });
  }

  test('a secret file that is not there', async () => {
    const line = await aborts({
      yaml: (places) => {
        rmSync(places.apiSecretFile);
        return gitlabAndApi(places);
      },
    });
    assert.match(line, /api\.secret.*no such file|no such file.*api\.secret/is);
  });
});

describe('listeners', () => {
  test('a port in use: which one, and nothing else is left open', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    let observability: Places['endpoints'] | undefined;
    try {
      const line = await aborts({
        yaml: (places) => {
          observability = places.endpoints;
          return minimal(places).replace(`127.0.0.1:${places.endpoints.kubernetesApi.port}`, `127.0.0.1:${port}`);
        },
      });
      assert.match(line, new RegExp(`127\\.0\\.0\\.1:${port}.*address already in use`));
      assert.ok(observability);
      assert.equal(await readiness(observability), undefined);
    } finally {
      other.close();
    }
  });

  test('a UNIX socket on which somebody listens', async () => {
    let path = '';
    const other = createServer();
    try {
      const line = await aborts({
        yaml: (places) => {
          path = join(places.folder, 'busy.sock');
          other.listen(path);
          return minimal(places).replace(
            /listen: \{ address: "127[^}]*\}\n {2}kub/,
            `listen: { network: unix, address: "${path}" }\n  kub`,
          );
        },
      });
      assert.ok(line.includes(path), line);
      assert.match(line, /in use/);
    } finally {
      other.close();
    }
  });

  test('a socket path that is too long', async () => {
    const long = `/tmp/${'x'.repeat(120)}.sock`;
    const line = await aborts({
      yaml: (places) =>
        minimal(places).replace(
          /listen: \{ address: "127[^}]*\}\n {2}kub/,
          `listen: { network: unix, address: "${long}" }\n  kub`,
        ),
    });
    assert.match(line, /too long|107|108/);
  });

  test('an address that is none', async () => {
    const line = await aborts({
      yaml: (places) => minimal(places).replace(`127.0.0.1:${places.endpoints.agent.port}`, 'localhost'),
    });
    assert.match(line, /localhost.*port|port.*localhost/i);
  });

  test('half of a certificate pair, a certificate that is none', async () => {
    const half = await aborts({
      yaml: (places) =>
        minimal(places).replace(
          'agent:\n  listen: {',
          `agent:\n  listen: { certificate_file: "${places.certificateFile}",`,
        ),
    });
    assert.match(half, /certificate_file|key_file/);
    const none = await aborts({
      yaml: (places) =>
        minimal(places).replace(
          'agent:\n  listen: {',
          `agent:\n  listen: { certificate_file: "${places.certificateFile}", key_file: "${places.keyFile}",`,
        ),
    });
    assert.match(none, /server\.crt|certificate/);
  });
});

// The settings of the Linux package that docs/multi-node.md shows, in the file that the package writes from them: two nodes find each other.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { startAgent } from '../../support/agent/agent.ts';
import { startBackend } from '../../support/backend.ts';
import { startGitLab } from '../../support/gitlab/gitlab.ts';
import { ask } from '../../support/http_client.ts';
import type { Places } from '../../support/kas_config.ts';
import { root } from '../../support/launch.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { eventually } from '../../support/wait.ts';

const page = readFileSync(join(root, 'docs/multi-node.md'), 'utf8');
const [, settings = ''] = /^## With the Linux package$.*?^```ruby\n(.*?)^```$/ms.exec(page) ?? [];
/** Each setting of the page with its values, those that are commented out too. */
const values = new Map<string, string[]>();
for (const [, name = '', value = ''] of settings.matchAll(/^[ #]*(?:gitlab_kas\[)?'(\w+)'\]? *=>? '([^']*)'/gm)) {
  values.set(name, [...(values.get(name) ?? []), value]);
}

/** The package's file, as it is without any of the settings. */
const file = readFileSync(join(root, 'test/fixtures/config/omnibus.yml'), 'utf8');

function setting(name: string, index = 0): string {
  return values.get(name)?.[index] ?? assert.fail(`docs/multi-node.md sets no ${name}`);
}

/** The value with this machine's address and the ports that are free. */
function here(value: string, { endpoints }: Places): string {
  const ports = new Map([
    ['8150', endpoints.agent.port],
    ['8151', endpoints.observability.port],
    ['8154', endpoints.kubernetesApi.port],
    ['8155', endpoints.privateApi.port],
  ]);
  return value
    .replace(/10\.0\.0\.(\d)/, '127.0.0.$1')
    .replace(/:(81\d\d)$/, (_, port: string) => `:${ports.get(port) ?? assert.fail(port)}`);
}

const ways: Readonly<Record<string, readonly [listens: number, env: readonly string[]]>> = {
  'an address of its own to listen on': [0, []],
  'all addresses, and a network': [1, ['OWN_PRIVATE_API_CIDR']],
  'all addresses, and a URL': [1, ['OWN_PRIVATE_API_URL']],
};

async function startNode(
  options: { gitlab: Awaited<ReturnType<typeof startGitLab>>; redis: string; secretFile: string },
  [listens, env]: readonly [number, readonly string[]],
) {
  const { gitlab, redis, secretFile } = options;
  const yaml = (places: Places) => {
    const config = parse(file);
    config.agent.listen.address = here(setting('listen_address'), places);
    config.agent.kubernetes_api.listen.address = here(setting('kubernetes_api_listen_address'), places);
    config.agent.kubernetes_api.websocket_token_secret_file = places.websocketTokenSecretFile;
    config.observability.listen.address = here(setting('observability_listen_address'), places);
    config.private_api.listen.address = here(setting('private_api_listen_address', listens), places);
    config.private_api.listen.authentication_secret_file = secretFile;
    config.api.listen.address = `localhost:${places.endpoints.api.port}`;
    config.api.listen.authentication_secret_file = places.apiSecretFile;
    config.gitlab = { address: gitlab.url, authentication_secret_file: places.apiSecretFile };
    config.redis = { network: 'tcp', server: { address: redis }, username: null, tls: { enabled: false } };
    for (const name of env) variables[name] = here(setting(name), places);
    return JSON.stringify(config);
  };
  const variables: Record<string, string> = {};
  // `yaml` fills in the variables before the process is started.
  return await startServer({ gitlab, yaml, env: variables });
}

for (const [what, way] of Object.entries(ways)) {
  test(`two nodes of the Linux package, each with ${what}`, { skip: noRedis }, async (t) => {
    // The agent leaves first: its connection is not to break under it.
    const ends: (() => unknown)[] = [];
    t.after(async () => {
      for (const end of ends.reverse()) await end();
    });
    const folder = mkdtempSync(join(tmpdir(), 'linux-package-'));
    ends.push(() => rmSync(folder, { recursive: true }));
    const secretFile = join(folder, 'private_api.secret');
    writeFileSync(secretFile, randomBytes(32).toString('base64'), { mode: 0o640 });
    const backend = await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } });
    const gitlab = await startGitLab();
    ends.push(
      () => backend.close(),
      () => gitlab.close(),
    );
    const redis = await startRedis({ after: (end: () => unknown) => void ends.push(end) });
    const options = { gitlab, redis: redis.address, secretFile };
    const nodes: RunningServer[] = [];
    for (let node = 0; node < 2; node++) {
      const server = await startNode(options, way);
      ends.push(() => server.kill());
      nodes.push(server);
    }
    const [first = assert.fail(), second = assert.fail()] = nodes;
    const agent = await startAgent({
      kasAddress: `ws://127.0.0.1:${first.endpoints.agent.port}`,
      token: 'agent-token-1',
      cluster: { server: backend.url },
    });
    ends.push(() => agent.close());
    await eventually('the agent', () => agent.tunnels.open > 0);
    const headers = { authorization: 'Bearer pat:1:alice-pat' };
    const { status, text } = await ask(second.endpoints.kubernetesApi, { path: '/hello', headers });
    assert.deepEqual([status, text], [200, 'hello\n']);
    for (const { log, endpoints } of [first, second]) {
      const urls = log.filter(({ msg }) => msg === 'Using own private API URL').map(({ url }) => url);
      assert.ok(urls.includes(`grpc://127.0.0.1:${endpoints.privateApi.port}`), urls.join());
      assert.deepEqual(
        log.filter(({ level }) => level === 'warn'),
        [],
      );
    }
  });
}

import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, type Endpoint, freePort } from './endpoint.ts';

/** The five listeners of a server. */
export interface Endpoints {
  readonly agent: Endpoint;
  readonly observability: Endpoint;
  readonly api: Endpoint;
  readonly kubernetesApi: Endpoint;
  readonly privateApi: Endpoint;
}

/** Where the server under test listens and what its files are called, for configurations in YAML. */
export interface Places {
  readonly folder: string;
  readonly endpoints: Endpoints;
  /** Base64 of 32, 32 and 72 bytes. */
  readonly apiSecretFile: string;
  readonly privateApiSecretFile: string;
  readonly websocketTokenSecretFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface Tls {
  /** PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Values as they stand in the configuration file; undefined removes a key. */
export type ConfigTree = {
  readonly [key: string]: ConfigTree | string | number | boolean | null | readonly unknown[] | undefined;
};

/** Picks free ports or socket paths, and writes secrets and certificates. */
export async function preparePlaces(
  folder: string,
  options: { readonly network: 'tcp' | 'unix'; readonly gitlabSecret: Buffer; readonly tls: Tls | undefined },
): Promise<Places> {
  const write = (name: string, content: string) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o640 });
    return path;
  };
  const endpoint = async (name: string, ca: string | undefined): Promise<Endpoint> =>
    options.network === 'unix'
      ? { network: 'unix', host: '', port: 0, path: join(folder, `${name}.sock`), ca }
      : { network: 'tcp', host: '127.0.0.1', port: await freePort(), path: '', ca };
  const ca = options.tls?.ca;
  return {
    folder,
    endpoints: {
      agent: await endpoint('agent', ca),
      // The probes are asked before anything else is known to work: always TCP, never TLS.
      observability: { network: 'tcp', host: '127.0.0.1', port: await freePort(), path: '', ca: undefined },
      api: await endpoint('api', undefined),
      kubernetesApi: await endpoint('kubernetes_api', ca),
      privateApi: await endpoint('private_api', undefined),
    },
    apiSecretFile: write('api.secret', options.gitlabSecret.toString('base64')),
    privateApiSecretFile: write('private_api.secret', randomBytes(32).toString('base64')),
    websocketTokenSecretFile: write('websocket_token.secret', randomBytes(72).toString('base64')),
    certificateFile: write('server.crt', options.tls?.cert ?? ''),
    keyFile: write('server.key', options.tls?.key ?? ''),
  };
}

/** What every test starts from: all keys that the listeners need, short grace periods, debug log. */
export function baseConfig(places: Places, gitlab: { readonly url: string } | undefined, tls: boolean): ConfigTree {
  const certificate = tls ? { certificate_file: places.certificateFile, key_file: places.keyFile } : {};
  const listen = (endpoint: Endpoint) => ({ network: endpoint.network, address: addressOf(endpoint) });
  const graceful = (endpoint: Endpoint) => ({ ...listen(endpoint), listen_grace_period: '0.05s' });
  const { endpoints } = places;
  const upstreamOnly = {
    gitlab: {
      address: gitlab?.url ?? '',
      external_url: 'http://gitlab.example',
      authentication_secret_file: places.apiSecretFile,
    },
    api: { listen: { ...graceful(endpoints.api), authentication_secret_file: places.apiSecretFile } },
    private_api: {
      listen: { ...graceful(endpoints.privateApi), authentication_secret_file: places.privateApiSecretFile },
    },
  };
  return {
    ...(gitlab === undefined ? { standalone: standaloneSection(places.folder) } : upstreamOnly),
    agent: {
      listen: { ...graceful(endpoints.agent), websocket: true, ...certificate },
      kubernetes_api: {
        listen: { ...graceful(endpoints.kubernetesApi), shutdown_grace_period: '5s', ...certificate },
        url_path_prefix: '/k8s-proxy/',
        websocket_token_secret_file: places.websocketTokenSecretFile,
      },
    },
    observability: { listen: listen(endpoints.observability), logging: { level: 'debug' } },
  };
}

/** The same agents and people as the fake GitLab has. */
function standaloneSection(folder: string): ConfigTree {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const token = (name: string) => {
    writeFileSync(join(folder, name), `${name}\n`);
    return name;
  };
  return {
    agents: [1, 2, 9].map((id) => ({ id, name: `agent-${id}`, token_file: token(`agent-token-${id}`) })),
    users: [
      { name: 'alice', token_file: token('alice-pat'), agents: '*', access_as: 'agent' },
      { name: 'bob', token_sha256: sha256('bob-pat'), agents: [1], access_as: 'user' },
      {
        name: 'carol',
        token_file: token('carol-pat'),
        agents: [1],
        access_as: {
          impersonate: { username: 'imp', groups: ['g1', 'g2'], uid: 'u1', extra: [{ key: 'a/b', val: ['x', 'y'] }] },
        },
      },
    ],
  };
}

/** `over` laid over `base`, mapping by mapping; lists and scalars replace. */
export function mergeConfig(base: ConfigTree, over: ConfigTree): ConfigTree {
  const out: Record<string, ConfigTree[string]> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = out[key];
    if (value === undefined) delete out[key];
    else out[key] = isTree(value) && isTree(before) ? mergeConfig(before, value) : value;
  }
  return out;
}

function isTree(value: ConfigTree[string]): value is ConfigTree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

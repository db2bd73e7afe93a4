import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { ImpersonationConfig } from './messages.ts';
import type { Cluster } from './options.ts';

interface KubeconfigFile {
  'current-context'?: string;
  clusters?: { name: string; cluster: Record<string, unknown> }[];
  users?: { name: string; user: Record<string, unknown> }[];
  contexts?: { name: string; context: { cluster: string; user?: string } }[];
}

export interface KubeconfigChoice {
  /** Default: $KUBECONFIG, ~/.kube/config, then the pod's service account. */
  readonly path?: string;
  readonly context?: string;
  readonly as?: string;
  readonly asGroups?: readonly string[];
  readonly asUid?: string;
}

/** @throws {Error} when the file has no such context, or uses what this agent cannot (exec plugins, auth providers) */
export function loadCluster(choice: KubeconfigChoice, env: Record<string, string | undefined>): Cluster {
  const path = choice.path ?? env.KUBECONFIG?.split(':').find((p) => p !== '') ?? join(env.HOME ?? '/', '.kube/config');
  const impersonate = identity(choice);
  if (choice.path === undefined && !existsSync(path)) return { ...inCluster(env), ...impersonate };
  const file = parse(readFileSync(path, 'utf8')) as KubeconfigFile;
  const contextName = choice.context ?? file['current-context'];
  const context = file.contexts?.find((c) => c.name === contextName)?.context;
  if (context === undefined) throw new Error(`${path}: context ${JSON.stringify(contextName)} does not exist`);
  const cluster = file.clusters?.find((c) => c.name === context.cluster)?.cluster;
  if (cluster === undefined) throw new Error(`${path}: cluster ${JSON.stringify(context.cluster)} does not exist`);
  const user = file.users?.find((u) => u.name === context.user)?.user ?? {};
  const server = text(cluster, 'server');
  if (server === undefined) throw new Error(`${path}: cluster ${JSON.stringify(context.cluster)} has no server`);
  const base = dirname(path);
  const tlsServerName = text(cluster, 'tls-server-name');
  const ca = pem(cluster, 'certificate-authority', base);
  const common: Cluster = {
    server,
    insecureSkipTlsVerify: cluster['insecure-skip-tls-verify'] === true,
    ...(ca === undefined ? {} : { ca }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
    ...impersonate,
  };
  // client-go keeps credentials to itself unless the connection is TLS.
  return server.startsWith('https:') ? { ...common, ...credentials(user, base, path) } : common;
}

function credentials(user: Record<string, unknown>, base: string, path: string): Partial<Cluster> {
  for (const name of ['exec', 'auth-provider'])
    if (user[name] !== undefined) throw new Error(`${path}: users with ${name} are not supported`);
  const clientCert = pem(user, 'client-certificate', base);
  const clientKey = pem(user, 'client-key', base);
  const authorization = authorizationOf(user, base);
  return {
    ...(clientCert === undefined ? {} : { clientCert }),
    ...(clientKey === undefined ? {} : { clientKey }),
    ...(authorization === undefined ? {} : { authorization }),
  };
}

function authorizationOf(user: Record<string, unknown>, base: string): (() => string | undefined) | undefined {
  const tokenFile = text(user, 'tokenFile');
  if (tokenFile !== undefined) return tokenFromFile(resolve(base, tokenFile));
  const token = text(user, 'token');
  if (token !== undefined) return () => `Bearer ${token}`;
  const name = text(user, 'username');
  if (name === undefined) return undefined;
  const basic = Buffer.from(`${name}:${text(user, 'password') ?? ''}`).toString('base64');
  return () => `Basic ${basic}`;
}

function tokenFromFile(path: string): () => string | undefined {
  return () => {
    const token = readFileSync(path, 'utf8').trim();
    return token === '' ? undefined : `Bearer ${token}`;
  };
}

function inCluster(env: Record<string, string | undefined>): Cluster {
  const host = env.KUBERNETES_SERVICE_HOST;
  if (host === undefined)
    throw new Error(
      'invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable',
    );
  const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT ?? '443'}`,
    ca: readFileSync(`${folder}/ca.crt`, 'utf8'),
    authorization: tokenFromFile(`${folder}/token`),
  };
}

function identity(choice: KubeconfigChoice): { impersonate?: ImpersonationConfig } {
  if (choice.as === undefined && choice.asGroups === undefined && choice.asUid === undefined) return {};
  return {
    impersonate: {
      username: choice.as ?? '',
      groups: [...(choice.asGroups ?? [])],
      uid: choice.asUid ?? '',
      extra: [],
    },
  };
}

/** `<name>-data`, base64, or the file that `<name>` points to. */
function pem(from: Record<string, unknown>, name: string, base: string): string | undefined {
  const data = text(from, `${name}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const path = text(from, name);
  return path === undefined ? undefined : readFileSync(resolve(base, path), 'utf8');
}

function text(from: Record<string, unknown>, name: string): string | undefined {
  const value = from[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

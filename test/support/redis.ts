import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { createClient, RESP_TYPES } from '@redis/client';
import { makeCertificate, type TestCertificate } from './certificates.ts';
import { freePort } from './endpoint.ts';
import { which } from './launch.ts';
import { eventually } from './wait.ts';

/** A redis-server of a test's own. */
export interface TestRedis {
  readonly port: number;
  /** host:port. */
  readonly address: string;
  /** Files that belong to it: sockets, certificates. */
  readonly folder: string;
  readonly socket: string;
  /** What it shows and trusts, if it speaks TLS. */
  readonly certificate: TestCertificate | undefined;
  /** Asks it, as its administrator. Bulk strings come as bytes. */
  ask(...command: (string | Buffer)[]): Promise<unknown>;
  /** Ends it without a word to anybody, and forgets all it had. */
  stop(): Promise<void>;
  /** The same one, empty, on the same port. */
  start(): Promise<void>;
  /** It answers nobody, and closes no connection either. */
  freeze(): void;
  thaw(): void;
}

export interface RedisOptions {
  /** TLS only, with client certificates. */
  readonly tls?: boolean;
  /** Lines of its configuration file. */
  readonly config?: readonly string[];
  /** As `ask` logs in. */
  readonly password?: string;
  /** It is a sentinel: the same program, which has other commands. */
  readonly sentinel?: boolean;
}

/** Why there can be no redis-server here, for `skip`; false if there can be. */
export const noRedis: string | false =
  which('redis-server') === undefined ? 'no redis-server here: install it (Debian: redis-server)' : false;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts one; it ends with the test, or with the file. */
export async function startRedis(
  owner: Pick<TestContext, 'after'> | undefined,
  options: RedisOptions = {},
): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'kas-redis-'));
  const port = await freePort();
  const socket = join(folder, 'redis.sock');
  const certificate = options.tls ? makeCertificate('rsa') : undefined;
  const lines = [
    ...(options.sentinel ? [] : ['save ""', 'appendonly no']),
    'bind 127.0.0.1',
    `dir ${folder}`,
    `unixsocket ${socket}`,
    'loglevel warning',
  ];
  if (certificate === undefined) lines.push(`port ${port}`);
  else {
    const [crt, key] = [join(folder, 'server.crt'), join(folder, 'server.key')];
    writeFileSync(crt, certificate.cert);
    writeFileSync(key, certificate.key);
    lines.push('port 0', `tls-port ${port}`, `tls-cert-file ${crt}`, `tls-key-file ${key}`, `tls-ca-cert-file ${crt}`);
    lines.push('tls-auth-clients yes');
  }
  const file = join(folder, 'redis.conf');
  writeFileSync(file, [...lines, ...(options.config ?? []), ''].join('\n'));
  const args = options.sentinel ? [file, '--sentinel'] : [file];
  let child = spawnServer(folder, args);
  const answers = async () => (await askOnce(socket, options.password, ['PING'])) === 'PONG';
  const up = () => eventually('redis-server', () => answers().catch(() => false));
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  };
  const signal = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && running.has(child)) process.kill(child.pid, name);
  };
  const end = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  };
  if (owner === undefined) after(end);
  else owner.after(end);
  await up();
  return {
    port,
    address: `127.0.0.1:${port}`,
    folder,
    socket,
    certificate,
    ask: (...command) => askOnce(socket, options.password, command),
    stop,
    async start() {
      child = spawnServer(folder, args);
      await up();
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
  };
}

/** Sentinels of one master with one replica. */
export interface TestSentinel {
  readonly master: TestRedis;
  readonly replica: TestRedis;
  readonly sentinels: readonly string[];
  readonly certificate: TestCertificate | undefined;
  /** Makes the other server the master; resolves when the sentinels say that it is. */
  failover(): Promise<void>;
  /** Resolves when the replica has become the master. */
  takenOver(): Promise<void>;
}

/** Starts a master, a replica and a sentinel that fails over within two seconds. Its password, if any, is not the servers'. */
export async function startSentinel(
  owner: Pick<TestContext, 'after'> | undefined,
  options: { readonly masterName: string; readonly password?: string; readonly tls?: boolean },
): Promise<TestSentinel> {
  const master = await startRedis(owner);
  const replica = await startRedis(owner, { config: [`replicaof 127.0.0.1 ${master.port}`] });
  await eventually('replication', async () => String(await replica.ask('ROLE')).includes('connected'));
  const { masterName, password } = options;
  const sentinel = await startRedis(owner, {
    sentinel: true,
    ...(options.tls && { tls: true }),
    ...(password !== undefined && { password }),
    config: [
      ...(password === undefined ? [] : [`requirepass ${password}`]),
      `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${masterName} 500`,
      `sentinel failover-timeout ${masterName} 5000`,
    ],
  });
  const masterAddress = async () => {
    const [host, port] = (await sentinel.ask('SENTINEL', 'get-master-addr-by-name', masterName)) as unknown[];
    return `${host}:${port}`;
  };
  await eventually('the sentinel to know the replica', async () => {
    const replicas = (await sentinel.ask('SENTINEL', 'replicas', masterName)) as unknown[];
    return replicas.length === 1 && !String(replicas[0]).includes('s_down');
  });
  return {
    master,
    replica,
    sentinels: [sentinel.address],
    certificate: sentinel.certificate,
    async takenOver() {
      // The sentinel cuts all connections to it, ours too.
      const isMaster = async () => String(await replica.ask('ROLE')).startsWith('master');
      await eventually('the replica to be the master', () => isMaster().catch(() => false), 30_000);
    },
    async failover() {
      const before = await masterAddress();
      await sentinel.ask('SENTINEL', 'FAILOVER', masterName);
      await eventually('the failover', async () => (await masterAddress()) !== before, 20_000);
    },
  };
}

function spawnServer(folder: string, args: string[]): ChildProcess {
  mkdirSync(folder, { recursive: true });
  const child = spawn('redis-server', args, { stdio: 'ignore', cwd: folder });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Over its UNIX socket, whatever else it listens on. */
async function askOnce(socket: string, password: string | undefined, command: (string | Buffer)[]): Promise<unknown> {
  const client = createClient({
    RESP: 2,
    socket: { path: socket, reconnectStrategy: false },
    ...(password !== undefined && { password }),
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  });
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.sendCommand(command);
  } finally {
    client.destroy();
  }
}

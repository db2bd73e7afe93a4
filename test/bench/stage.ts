import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

const root = join(import.meta.dirname, '../..');
export const executable = join(root, 'dist/gitlab-kas');
const ticksPerSecond = 100; // what Linux has counted in since for ever (USER_HZ)

/** A server with one agent behind it, and a cluster behind that. */
export interface Rig {
  readonly name: string;
  readonly pid: number;
  /** Where requests go in. */
  readonly port: number;
  readonly token: string;
  stop(): void;
}

/** What a bench may want otherwise than by default. */
export interface Settings {
  readonly level?: 'debug' | 'info' | 'error';
  readonly metrics?: boolean;
  readonly workers?: number;
  /** How many pods the agent has. */
  readonly pods?: number;
  /** Sections that are added to the configuration. */
  readonly more?: string;
}

/** The processes of a bench: everything on free loopback ports, everything killed by `close`. */
export class Stage {
  readonly #children: ChildProcess[] = [];
  readonly #folder = mkdtempSync(join(os.tmpdir(), 'kas-bench-'));
  clusterPort = 0;

  async open(): Promise<void> {
    this.clusterPort = await freePort();
    const cluster = this.#spawn(process.execPath, [join(import.meta.dirname, 'cluster.ts'), String(this.clusterPort)]);
    await once(cluster.stdout!, 'data');
  }

  /**
   * The product, with an agent over gRPC or WebSocket. `agentPath` puts something between the two, `more` is
   * set in the configuration.
   */
  async product(
    scheme: 'grpc' | 'ws',
    agentPath?: (port: number) => Promise<number>,
    more: Settings = {},
  ): Promise<Rig> {
    const { kas, agentPort, httpPort } = await this.#startKas(more);
    await listening(httpPort);
    const address = `${scheme}://127.0.0.1:${(await agentPath?.(agentPort)) ?? agentPort}`;
    const agents = Array.from({ length: more.pods ?? 1 }, () => this.#agent(address));
    const rig = this.#rig('product', kas, agents, httpPort, 'pat:1:bench-user-token');
    await answering(rig);
    return rig;
  }

  /** The product without an agent, and how long it took until all its ports accepted. */
  async startBare(): Promise<{ pid: number; startSeconds: number; stop(): void }> {
    const { kas, startedMs, ports } = await this.#startKas();
    for (const port of ports) await listening(port, 2);
    return { pid: kas.pid!, startSeconds: (performance.now() - startedMs) / 1000, stop: () => kas.kill('SIGKILL') };
  }

  /** Two nodes of the product that share a Redis; the agent is at the first. */
  async nodes(): Promise<{ right: Rig; other: Rig }> {
    const redis = join(this.#folder, 'redis.sock');
    const args = ['--port', '0', '--unixsocket', redis, '--save', '', '--appendonly', 'no', '--dir', this.#folder];
    this.#spawn('redis-server', args);
    while (!existsSync(redis)) await pause(10);
    this.#write('private.secret', Buffer.alloc(32, 7).toString('base64'));
    const shared = async () => `redis: { network: unix, server: { address: redis.sock } }
private_api: { listen: { address: "127.0.0.1:${await freePort()}", authentication_secret_file: private.secret } }
`;
    const nodes = [await this.#startKas({ more: await shared() }), await this.#startKas({ more: await shared() })];
    for (const { httpPort } of nodes) await listening(httpPort);
    const [right, other] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    const agent = this.#agent(`grpc://127.0.0.1:${right.agentPort}`);
    const rigs = {
      right: this.#rig('right node', right.kas, [agent], right.httpPort, 'pat:1:bench-user-token'),
      other: this.#rig('other node', other.kas, [agent], other.httpPort, 'pat:1:bench-user-token'),
    };
    await answering(rigs.right);
    await answering(rigs.other);
    return rigs;
  }

  async #startKas({ level = 'info', metrics = true, workers = 1, more = '' }: Settings = {}): Promise<{
    kas: ChildProcess;
    agentPort: number;
    httpPort: number;
    ports: number[];
    startedMs: number;
  }> {
    const ports = [await freePort(), await freePort(), await freePort()];
    const [agentPort, httpPort, observabilityPort] = ports as [number, number, number];
    this.#write('agent.token', 'bench-agent-token');
    this.#write('user.token', 'bench-user-token');
    const config = this.#write(
      `kas-${agentPort}.yml`,
      `agent:
  listen: { address: "127.0.0.1:${agentPort}", websocket: true, listen_grace_period: 0.1s }
  kubernetes_api: { listen: { address: "127.0.0.1:${httpPort}", listen_grace_period: 0.1s } }
observability: { listen: { address: "127.0.0.1:${observabilityPort}" }, logging: { level: ${level} } }
server: { metrics: ${metrics}, workers: ${workers} }
standalone:
  agents: [{ id: 1, name: bench, token_file: agent.token }]
  users: [{ name: bench, token_file: user.token, agents: [1], access_as: agent }]
${more}`,
    );
    const startedMs = performance.now();
    const kas = existsSync(executable)
      ? this.#spawn(executable, ['--configuration-file', config])
      : this.#spawn(process.execPath, [join(root, 'src/main.ts'), '--configuration-file', config]);
    return { kas, agentPort, httpPort, ports, startedMs };
  }

  /** The yardstick: the relay of this folder. */
  async relay(agentPath?: (port: number) => Promise<number>): Promise<Rig> {
    const [agentPort, httpPort] = [await freePort(), await freePort()];
    const relay = this.#spawn(process.execPath, [
      join(import.meta.dirname, 'relay.mjs'),
      String(agentPort),
      String(httpPort),
    ]);
    await listening(httpPort);
    const agent = this.#agent(`grpc://127.0.0.1:${(await agentPath?.(agentPort)) ?? agentPort}`);
    const rig = this.#rig('relay', relay, [agent], httpPort, 'pat:1:none');
    await answering(rig);
    return rig;
  }

  /** A TCP forwarder that adds half of `roundTripMs` to each direction; returns its port. */
  async slowLink(targetPort: number, roundTripMs: number): Promise<number> {
    const port = await freePort();
    const args = [join(import.meta.dirname, 'slow_link.ts'), String(port), String(targetPort), String(roundTripMs)];
    await once(this.#spawn(process.execPath, args).stdout!, 'data');
    return port;
  }

  async load(rig: Rig, path: string, connections: number, seconds: number): Promise<LoadResult> {
    const args = { port: rig.port, path, connections, seconds, token: rig.token };
    const child = this.#spawn(process.execPath, [join(import.meta.dirname, 'load.ts'), JSON.stringify(args)]);
    let output = '';
    child.stdout!.on('data', (chunk) => {
      output += chunk;
    });
    await once(child, 'close');
    return JSON.parse(output) as LoadResult;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #rig(name: string, server: ChildProcess, agents: readonly ChildProcess[], port: number, token: string): Rig {
    const stop = (): void => {
      for (const agent of agents) agent.kill('SIGKILL');
      server.kill('SIGKILL');
    };
    return { name, pid: server.pid!, port, token, stop };
  }

  #agent(address: string): ChildProcess {
    const token = this.#write('agent.token', 'bench-agent-token');
    const kubeconfig = this.#write(
      'kubeconfig',
      `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "http://127.0.0.1:${this.clusterPort}"}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n`,
    );
    const args = [
      '--kas-address',
      address,
      '--token-file',
      token,
      '--kubeconfig',
      kubeconfig,
      '--observability-listen-address',
      '127.0.0.1:0',
    ];
    return this.#spawn(join(root, 'test/support/bin/agentk'), args);
  }

  #write(name: string, content: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, content);
    return path;
  }

  #spawn(command: string, args: string[]): ChildProcess {
    const env = { ...process.env, POD_NAMESPACE: 'bench', POD_NAME: 'agentk-bench' };
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', process.env.BENCH_VERBOSE ? 'inherit' : 'ignore'],
      env,
    });
    this.#children.push(child);
    return child;
  }
}

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Processor time that a process has used, in milliseconds. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1000;
}

/** A process and those that it has started. */
export function withChildren(pid: number): number[] {
  return [
    pid,
    ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  ];
}

/** Resident memory of a process, in MiB. */
export function rssMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function listening(port: number, everyMs = 10): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    const socket = net.connect(port, '127.0.0.1');
    const ok = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (ok) return;
    await pause(everyMs);
  }
  throw new Error(`nothing listens on ${port}`);
}

async function answering(rig: Rig): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await fetch(`http://127.0.0.1:${rig.port}/pods`, {
      headers: { authorization: `Bearer ${rig.token}` },
    });
    await answer.arrayBuffer();
    if (answer.status === 200) return;
    await pause(50);
  }
  throw new Error(`${rig.name} does not answer`);
}

// Several workers behind the same ports are one server: to agents, users, GitLab, other nodes, Prometheus and whoever runs it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { HttpRequestSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { GatewayKasResponseSchema } from '../../src/gen/gitlab/agent/kas/kas_pb.ts';
import { type Backend, startBackend } from '../support/backend.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../support/cluster.ts';
import type { Endpoint } from '../support/endpoint.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { internalCallers, railsJwt } from '../support/internal_api.ts';
import { launchCommand } from '../support/launch.ts';
import { parsePage } from '../support/prometheus.ts';
import { type LogLine, type RunningServer, readiness, runToEnd, startServer } from '../support/server.ts';
import { makeTls } from '../support/tls.ts';
import { eventually, within } from '../support/wait.ts';

const skip = launchCommand().flavour === 'deno' && 'there are no workers on Deno';
const twoWorkers = { server: { workers: 2 } };

/** What a worker says of itself. */
interface State {
  readonly pid: number;
  readonly listeners: Record<'agentServer', { readonly sessions: number; readonly streams: number }>;
  readonly tunnels: { readonly idle: number };
  readonly heap: { readonly used_bytes: number };
  readonly handles: Record<string, number>;
}

async function start(more: Partial<ClusterOptions<Backend>> = {}): Promise<Cluster> {
  const paths = { '/hello': (_: unknown, response: ServerResponse) => response.end('hello') };
  const backend = more.backend ?? (await startBackend({ paths }));
  return await startCluster({ ...more, backend, config: { ...twoWorkers, ...more.config } });
}

/** The processes that this one has started. */
function childrenOf(pid: number): number[] {
  const listed = execFileSync('/bin/sh', ['-c', `ps -o pid= --ppid ${pid} || true`], { encoding: 'utf8' });
  return listed
    .split('\n')
    .map(Number)
    .filter((child) => child > 0);
}

/** The worker that has the agent's tunnels, and the other one. */
async function roles(cluster: Cluster): Promise<{ withAgent: number; other: number }> {
  const { server } = cluster;
  const { route } = await server.waitForLog(
    'of a request that went from one worker to the other',
    ({ msg, route }) => msg === 'Proxied request' && String(route).startsWith('unix:'),
  );
  const number = Number(/worker-(\d)\.sock$/.exec(String(route))?.[1]);
  const pidOf = (wanted: number) =>
    Number(server.log.findLast(({ msg, worker }) => msg === 'A worker is ready' && worker === wanted)?.worker_pid);
  return { withAgent: pidOf(number), other: pidOf(3 - number) };
}

/** Each time on a connection of its own, so that all workers are asked. */
async function askOften(cluster: Cluster, times = 8): Promise<Set<string>> {
  const answers = new Set<string>();
  for (let i = 0; i < times; i++) {
    const { status, text } = await cluster.ask({ path: '/hello' });
    answers.add(`${status} ${text}`);
  }
  return answers;
}

/** A cluster whose `/watch` begins and goes on when the test says so. */
async function watchBackend(): Promise<{ backend: Backend; watches: ServerResponse[]; greeted: () => number }> {
  const watches: ServerResponse[] = [];
  let greeted = 0;
  const backend = await startBackend({
    paths: {
      '/hello': (_: unknown, response: ServerResponse) => {
        greeted++;
        response.end('hello');
      },
      '/watch': (_: unknown, response: ServerResponse) => {
        response.writeHead(200).write('first\n');
        watches.push(response);
      },
    },
  });
  return { backend, watches, greeted: () => greeted };
}

/** A connection with TLS, and the certificate that it was shown. */
async function shownBy({ host, port }: Endpoint): Promise<{ socket: TLSSocket; fingerprint: string }> {
  const socket = connectTls({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  return { socket, fingerprint: socket.getPeerCertificate().fingerprint256 };
}

const allHello = new Set(['200 hello']);

async function scrape(cluster: Cluster) {
  const { text } = await ask(cluster.server.endpoints.observability, { path: '/metrics' });
  const page = parsePage(text);
  return (family: string, labels: Record<string, string> = {}, name = family) => {
    const fits = page
      .get(family)
      ?.samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      );
    return fits?.map(({ value }) => value);
  };
}

describe('two workers', { skip }, () => {
  for (const network of ['tcp', 'unix'] as const) {
    test(`a request that enters any of them reaches the agent, whichever has it (${network})`, async () => {
      const cluster = await start({ network, ...(network === 'unix' && { scheme: 'ws' }) });
      assert.equal(childrenOf(cluster.server.pid).length, 2);
      assert.deepEqual(await askOften(cluster), allHello);
      await cluster.stop();
      for (const { path } of Object.values(cluster.server.endpoints))
        if (path !== '') assert.ok(!existsSync(path), path);
    });
  }

  test('auto is one for each core', async () => {
    const cluster = await start({ config: { server: { workers: 'auto' } } });
    const cores = availableParallelism();
    assert.equal(childrenOf(cluster.server.pid).length, cores > 1 ? cores : 0);
    assert.deepEqual(await askOften(cluster), allHello);
    await cluster.stop();
  });

  test('the sockets that lead from one to the other are nobody else’s', async () => {
    const cluster = await start();
    await askOften(cluster);
    const { route } = await cluster.server.waitForLog('of a route', ({ route }) => String(route).startsWith('unix:'));
    const folder = dirname(String(route).replace('unix://', ''));
    assert.equal(statSync(folder).mode & 0o777, 0o700, folder);
    await cluster.stop();
  });

  test('SIGUSR2 has the first process tell the state of all, also of one that says nothing', async () => {
    const cluster = await start();
    const { server } = cluster;
    server.signal('SIGUSR2');
    const ofAll = ({ msg, workers }: LogLine) => msg === 'Debug state' && workers !== undefined;
    const { workers } = (await server.waitForLog('of all', ofAll)) as unknown as { workers: Record<number, State> };
    const states = [1, 2].map((number) => workers[number] ?? assert.fail(`worker ${number} is missing`));
    const sum = (count: (state: State) => number) => states.reduce((total, state) => total + count(state), 0);
    assert.ok(sum(({ listeners }) => listeners.agentServer.sessions) >= 1);
    assert.ok(sum(({ listeners }) => listeners.agentServer.streams) >= 2);
    assert.ok(sum(({ tunnels }) => tunnels.idle) > 0);
    assert.ok(states.every(({ heap, handles }) => heap.used_bytes > 1e6 && Object.keys(handles).length > 0));
    assert.deepEqual(states.map(({ pid }) => pid).sort(), childrenOf(server.pid).sort());

    const [stopped = 0] = childrenOf(server.pid);
    process.kill(stopped, 'SIGSTOP');
    server.signal('SIGUSR2');
    const silent = (line: LogLine) => ofAll(line) && JSON.stringify(line).includes('no answer within 2 s');
    await server.waitForLog('of all but one', silent);
    process.kill(stopped, 'SIGCONT');
    await cluster.stop();
  });

  test('the debug endpoints look into each of them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'profiles-'));
    const server = await startServer({ config: { server: { workers: 2, debug: { enabled: true, folder } } } });
    const { host, port } = server.endpoints.observability;
    const state = (await (await fetch(`http://${host}:${port}/debug/state`)).json()) as {
      pid: number;
      workers: Record<number, State>;
    };
    assert.equal(state.pid, server.pid);
    assert.deepEqual(Object.keys(state.workers), ['1', '2']);
    const profile = async (query: string) => {
      const answer = await fetch(`http://${host}:${port}/debug/cpu_profile?seconds=1${query}`, { method: 'POST' });
      return { status: answer.status, text: await answer.text() };
    };
    const [ofFirst, ofSecond] = await Promise.all([profile(''), profile('&worker=2')]);
    for (const [answer, pid] of [
      [ofFirst, server.pid],
      [ofSecond, state.workers[2]?.pid],
    ] as const) {
      assert.equal(answer.status, 200, answer.text);
      const { file } = JSON.parse(answer.text) as { file: string };
      assert.match(file, new RegExp(`/gitlab-kas-${pid}-\\d+\\.cpuprofile$`));
      assert.ok(existsSync(file));
    }
    for (const worker of ['3', 'x', '']) {
      const { status, text } = await profile(`&worker=${worker}`);
      assert.deepEqual([status, text], [404, `there is no worker ${worker}, only 1, 2\n`]);
    }
    await server.stop();
  });

  test('with TLS', async () => {
    const cluster = await start({ tls: makeTls() });
    assert.deepEqual(await askOften(cluster), allHello);
    await cluster.stop();
  });

  test('a certificate that is replaced is shown by each of them, on every listener, and by one that is started again', {
    timeout: 90_000,
  }, async () => {
    const cluster = await start({ gitlab: {}, tls: makeTls() });
    const { server } = cluster;
    const { places } = server;
    const endpoints = [server.endpoints.agent, server.endpoints.kubernetesApi];
    /** What connections that are open at the same time, of which each worker gets half, are shown on each listener. */
    const shown = async () => {
      const sockets = await Promise.all(
        endpoints.flatMap((endpoint) => Array.from({ length: 4 }, () => shownBy(endpoint))),
      );
      for (const { socket } of sockets) socket.destroy();
      return new Set(sockets.map(({ fingerprint }) => fingerprint));
    };
    const before = await shown();
    assert.equal(before.size, 1);
    const renewed = makeTls();
    writeFileSync(places.certificateFile, renewed.cert);
    writeFileSync(places.keyFile, renewed.key);
    const reloads = () =>
      server.log.filter(({ msg }) => msg === 'TLS certificate reloaded').map(({ worker }) => Number(worker));
    await eventually('both workers to have it on both listeners', () => reloads().length === 4, 25_000);
    assert.deepEqual(reloads().sort(), [1, 1, 2, 2]);
    const expected = new Set([new X509Certificate(renewed.cert).fingerprint256]);
    assert.deepEqual(await shown(), expected);
    const [first = assert.fail()] = childrenOf(server.pid);
    process.kill(first, 'SIGKILL');
    await eventually('a new worker', () => server.log.filter(({ msg }) => msg === 'A worker is ready').length === 3);
    assert.deepEqual(await shown(), expected);
    await cluster.stop();
  });

  test('agents spread over them, are listed once, and metrics add up', async () => {
    const cluster = await start({ gitlab: {}, agents: [1, 2, 1, 2] });
    const { secret } = cluster.gitlab ?? assert.fail();
    const [caller] = await internalCallers(cluster.server.endpoints.api, secret);
    for (let i = 0; i < 2; i++) {
      const reply = await caller?.call(AgentTracker.method.getConnectedAgentksByAgentIDs, { agentIds: [1n, 2n] });
      const agents = reply?.response as { agents?: { agentId: bigint }[] } | undefined;
      assert.equal(new Set(agents?.agents?.map(({ agentId }) => agentId)).size, 2, JSON.stringify(reply?.status));
    }
    caller?.close();
    assert.deepEqual(await askOften(cluster, 10), allHello);
    const value = await scrape(cluster);
    assert.deepEqual(value('gitlab_kas_agents'), [2]);
    assert.deepEqual(value('connected_agents_count'), [2]);
    assert.deepEqual(value('gitlab_build_info'), [1]);
    const connect = { grpc_method: 'Connect' };
    const [tunnels = 0] = value('grpc_server_requests_in_flight', connect) ?? [];
    const idle = value('gitlab_kas_tunnels', { state: 'idle' })?.[0] ?? 0;
    const busy = value('gitlab_kas_tunnels', { state: 'busy' })?.[0] ?? 0;
    assert.ok(idle >= 4 && idle + busy === tunnels, `${idle} idle and ${busy} busy of ${tunnels}`);
    assert.deepEqual(value('limiter_limit', { limiter_name: 'gitlab_client' }), [50]);
    assert.deepEqual(value('limiter_limit', { limiter_name: 'agent_connection' }), [40_000]);
    await cluster.stop();
  });

  test('GitLab is told once of what both have counted', async () => {
    const cluster = await start({ gitlab: {}, config: { observability: { usage_reporting_period: '3600s' } } });
    const already = 1; // while the cluster was started
    await askOften(cluster, 6);
    await cluster.stop();
    const reports = cluster.gitlab?.requestsTo('/api/v4/internal/kubernetes/usage_metrics') ?? [];
    assert.equal(reports.length, 1);
    const { counters } = JSON.parse(reports[0]?.body ?? '{}') as { counters: Record<string, number> };
    assert.equal(counters.k8s_api_proxy_request, 6 + already);
  });

  test('a call of another node reaches the agent, whichever of them it meets', async () => {
    const cluster = await start({ gitlab: {} });
    const { endpoints, places } = cluster.server;
    const secret = Buffer.from(readFileSync(places.privateApiSecretFile, 'utf8'), 'base64');
    const authorization = `Bearer ${railsJwt(secret, { iss: 'gitlab-kas', exp: Math.floor(Date.now() / 1000) + 5 })}`;
    for (let i = 0; i < 4; i++) {
      const connection = await grpcConnection(endpoints.privateApi);
      const call = connection.call('/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest', {
        token: undefined,
        headers: { authorization, 'kas-hop-routing-agent-id': '1' },
      });
      const said = async () => (await call.nextMessage(GatewayKasResponseSchema)).msg.case;
      assert.equal(await said(), 'tunnelReady');
      call.send(new Uint8Array());
      const request = { method: 'GET', urlPath: '/hello' };
      call.sendMessage(HttpRequestSchema, { message: { case: 'header', value: { request } } });
      call.sendMessage(HttpRequestSchema, { message: { case: 'trailer', value: {} } });
      call.halfClose();
      const parts: unknown[] = [];
      for (let part = await said(); part !== 'trailer'; part = await said()) parts.push(part);
      assert.deepEqual([parts[0], parts.length > 2], ['header', true]);
      assert.equal((await call.status).code, 0);
      connection.close();
    }
    // One that does not take the tunnel gives it back.
    for (let i = 0; i < 20; i++) {
      const connection = await grpcConnection(endpoints.privateApi);
      const headers = { authorization, 'kas-hop-routing-agent-id': '1' };
      const call = connection.call('/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest', {
        token: undefined,
        headers,
      });
      assert.equal((await call.nextMessage(GatewayKasResponseSchema)).msg.case, 'tunnelReady');
      connection.close();
    }
    await cluster.stop();
  });
});

describe('workers that die', { skip }, () => {
  test('another one takes the place of each, its agents come back, and nobody else notices', async () => {
    const cluster = await start();
    const { server } = cluster;
    const before = childrenOf(server.pid);
    for (const victim of before) {
      process.kill(victim, 'SIGKILL');
      await server.waitForLog(
        'of the end',
        ({ msg, worker_pid: pid, ended_by: by }) =>
          msg === 'A worker has ended, it is started again' && pid === victim && by === 'SIGKILL',
      );
      await eventually('readiness', async () => (await readiness(server.endpoints)) === 200);
      assert.deepEqual(await askOften(cluster), allHello);
    }
    const after = childrenOf(server.pid);
    assert.equal(after.length, 2);
    assert.ok(after.every((pid) => !before.includes(pid)));
    await cluster.stop();
  });

  test('what goes through the others goes on', async () => {
    const { backend, watches } = await watchBackend();
    const cluster = await start({ backend });
    const { server } = cluster;
    await askOften(cluster);
    const { other } = await roles(cluster);
    const texts: string[] = [];
    const ended: boolean[] = [];
    for (let i = 0; i < 6; i++) {
      const response = await cluster.open({ path: '/watch' });
      texts[i] = '';
      ended[i] = false;
      response.on('error', () => {}).on('close', () => (ended[i] = true));
      response.on('data', (chunk: Buffer) => (texts[i] += chunk.toString()));
    }
    await eventually('all watches to begin', () => watches.length === 6 && texts.every((text) => text === 'first\n'));
    process.kill(other, 'SIGKILL');
    // Half of them came in there.
    await eventually('those of the dead worker to end', () => ended.filter(Boolean).length === 3);
    for (const watch of watches) watch.write('second\n');
    await eventually('the rest', () => texts.filter((text) => text === 'first\nsecond\n').length === 3);
    await eventually('readiness', async () => (await readiness(server.endpoints)) === 200);
    assert.deepEqual(await askOften(cluster), allHello);
    for (const watch of watches) watch.end();
    await cluster.stop();
  });

  test('meanwhile the server is not ready, and says so once', async (t) => {
    const server = await startServer({ config: twoWorkers });
    t.after(() => server.kill());
    const unready = await eventually('the probe to say no', async () => {
      // Another one is there within moments, and on a busy machine sooner than this process looks: then once more.
      const [victim, survivor] = childrenOf(server.pid);
      if (victim !== undefined && survivor !== undefined) process.kill(victim, 'SIGKILL');
      const answer = await ask(server.endpoints.observability, { path: '/readiness' });
      return answer.status === 500 && answer.text.includes('has ended') && answer.text;
    });
    assert.match(unready, /^worker [12]: has ended, is started again\n$/);
    await eventually('readiness', async () => (await readiness(server.endpoints)) === 200);
    await server.stop();
    const told = server.log.filter(
      ({ msg, error }) => msg === 'ReadinessProbe failed' && /has ended/.test(String(error)),
    );
    assert.deepEqual(
      told.map(({ level, mod_name: name, error }) => [level, name, error]),
      [['error', 'observability', unready.trim()]],
    );
  });

  test('the configuration is the one of the start, whatever the file has become', async () => {
    const cluster = await start();
    const { server } = cluster;
    writeFileSync(server.configFile, 'nonsense: [');
    for (const worker of childrenOf(server.pid)) process.kill(worker, 'SIGKILL');
    await server.waitForLog('of the end', ({ msg }) => msg === 'A worker has ended, it is started again');
    await eventually('readiness', async () => (await readiness(server.endpoints)) === 200);
    assert.deepEqual(await askOften(cluster), allHello);
    await cluster.stop();
  });
});

describe('the end of all workers', { skip }, () => {
  const graces = (listen: string) => ({
    agent: {
      listen: { listen_grace_period: listen },
      kubernetes_api: { listen: { listen_grace_period: listen, shutdown_grace_period: '20s' } },
    },
  });

  /** Nothing is left of a server that has ended. */
  function assertGone(children: readonly number[], folder: string): void {
    for (const pid of children) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.match(folder, /gitlab-kas-/);
    assert.ok(!existsSync(folder), folder);
  }

  /** Where the workers' own sockets are. */
  const folderOf = ({ log }: RunningServer): string => {
    const own = log
      .map(({ net_address: address }) => String(address))
      .find((address) => address.endsWith('/worker-1.sock'));
    return own?.replace('/worker-1.sock', '') ?? '';
  };

  for (const toWhom of ['the first process', 'the whole group'] as const) {
    test(`SIGTERM to ${toWhom} under load: nothing is lost, what runs finishes, exit 0`, async () => {
      const { backend, watches, greeted } = await watchBackend();
      const cluster = await start({ backend, config: graces('2s') });
      const { server } = cluster;
      await askOften(cluster);
      const before = greeted();
      const children = childrenOf(server.pid);
      const folder = folderOf(server);
      const texts: string[] = [];
      for (let i = 0; i < 4; i++) {
        const response = await cluster.open({ path: '/watch' });
        texts[i] = '';
        response.on('data', (chunk: Buffer) => (texts[i] += chunk.toString()));
      }
      const failures: string[] = [];
      let answers = 0;
      let refused = false;
      // Whom the kernel has let into the backlog while the listeners were about to close, it resets when they do
      // (docs/protocol/listeners.md, leaving). Nobody who comes after him is let in.
      let reset = false;
      const load = async () => {
        while (!refused) {
          const afterReset = reset;
          try {
            const { status } = await cluster.ask({ path: '/hello' });
            if (status === 200 && !afterReset) answers++;
            else failures.push(`${status}${afterReset ? ' after others were reset' : ''}`);
          } catch (error) {
            const { code } = error as NodeJS.ErrnoException;
            if (code === 'ECONNREFUSED') refused = true;
            else if (code === 'ECONNRESET') reset = true;
            else failures.push(String(error));
          }
        }
      };
      const loads = Array.from({ length: 4 }, load);
      await eventually('load', () => answers > 20);
      for (const pid of toWhom === 'the whole group' ? [...children, server.pid] : [server.pid])
        process.kill(pid, 'SIGTERM');
      await eventually('the readiness probe to say no', async () => (await readiness(server.endpoints)) === 500, 1800);
      await within('the listeners to close', 8000, Promise.all(loads));
      assert.deepEqual(failures, []);
      assert.equal(greeted() - before, answers, 'whatever has reached the cluster is answered');
      for (const watch of watches) watch.end('last\n');
      assert.equal(await within('the process’ end', 8000, server.exited), 0);
      assert.deepEqual(texts, Array(4).fill('first\nlast\n'));
      assertGone(children, folder);
      assert.deepEqual(
        server.log.filter(({ level }) => level === 'error'),
        [],
      );
      await cluster.stop();
    });
  }

  test('kill -9 of the first process ends the workers, too', async () => {
    const cluster = await start();
    const children = childrenOf(cluster.server.pid);
    cluster.server.signal('SIGKILL');
    await cluster.server.exited;
    await eventually(
      'the workers to end',
      () =>
        children.every((pid) => {
          try {
            return !process.kill(pid, 0);
          } catch {
            return true;
          }
        }),
      3000,
    );
    await cluster.stop().catch(() => {});
  });

  for (const [name, port] of [
    ['observability', 'observability'],
    ['agent', 'agent'],
  ] as const) {
    test(`a port in use (${name}): one line, exit 1`, async () => {
      let taken = 0;
      const holder = createServer();
      const server = await startServer({
        ready: false,
        yaml({ endpoints }) {
          taken = endpoints[port].port;
          holder.listen(taken, '127.0.0.1');
          const address = (endpoint: { port: number }) => `listen: { address: "127.0.0.1:${endpoint.port}" }`;
          return `standalone: { agents: [], users: [] }
observability: { ${address(endpoints.observability)} }
agent: { ${address(endpoints.agent)}, kubernetes_api: { ${address(endpoints.kubernetesApi)} } }
server: { workers: 3 }
`;
        },
      });
      assert.equal(await within('the end', 15_000, server.exited), 1, server.stderr());
      const lines = server.stderr().trimEnd().split('\n');
      assert.equal(lines.pop(), `Program aborted: listen tcp 127.0.0.1:${taken}: bind: address already in use`);
      for (const line of lines) JSON.parse(line);
      holder.close();
      await server.kill();
    });
  }

  test('worker is no command for people', async () => {
    const { status, stderr } = await runToEnd(['worker', '1']);
    assert.equal(status, 1);
    assert.match(stderr, /^Program aborted: worker is for the server itself/);
  });
});

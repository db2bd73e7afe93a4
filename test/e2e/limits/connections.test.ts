// Connections: how many there may be, and how long one may stay on which nobody says who he is.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { type Cluster, startCluster } from '../../support/cluster.ts';
import { connectOptions, type Endpoint } from '../../support/endpoint.ts';
import { type GrpcConnection, grpcConnection } from '../../support/grpc_client.ts';
import { type RawConnection, rawConnection } from '../../support/http1.ts';
import { limitCount, limitIsTold } from '../../support/limit_count.ts';
import { makeTls } from '../../support/tls.ts';
import { delay, eventually, within } from '../../support/wait.ts';

const connectPath = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';
const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };

describe('too many connections', () => {
  let cluster: Cluster;
  const held: RawConnection[] = [];
  before(async () => {
    const limits = { connections_per_listener: 6, unauthenticated_connections_per_listener: 4 };
    cluster = await startCluster({ backend: await startBackend({ paths }), config: { server: { limits } } });
  });
  after(async () => {
    for (const connection of held) connection.close();
    await cluster.stop();
  });
  const hold = async (endpoint: Endpoint, count: number) => {
    for (let i = 0; i < count; i++) held.push(await rawConnection(endpoint));
  };
  const release = () => {
    for (const connection of held.splice(0)) connection.close();
  };
  const kubernetesApi = () => cluster.server.endpoints.kubernetesApi;
  const agent = () => cluster.server.endpoints.agent;

  test('those that say nothing leave room for others; who comes too late is told so in Kubernetes’ words', async () => {
    await hold(kubernetesApi(), 4);
    const refused = await within('the refusal', 2000, cluster.ask({ path: '/fine' }));
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    const status = JSON.parse(refused.text);
    assert.deepEqual([status.kind, status.code, status.reason], ['Status', 503, 'ServiceUnavailable']);
    assert.equal(await limitCount(cluster.server, 'unauthenticated_connections', 'kubernetes_api'), 1);
    const key = 'server.limits.unauthenticated_connections_per_listener';
    await limitIsTold(cluster.server, 'unauthenticated_connections', 'kubernetes_api', key);
    release();
    await eventually('room', async () => (await cluster.ask({ path: '/fine' })).text === 'fine');
  });

  test('those that have shown a credential count against the connections, not among the silent', async () => {
    const pool = new Agent({ keepAlive: true, maxSockets: 1 });
    const pools = [pool, ...Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))];
    for (const one of pools) assert.equal((await cluster.ask({ path: '/fine', agent: one })).text, 'fine');
    await hold(kubernetesApi(), 1);
    assert.equal((await cluster.ask({ path: '/fine' })).status, 503);
    assert.equal(await limitCount(cluster.server, 'connections', 'kubernetes_api'), 1);
    await limitIsTold(cluster.server, 'connections', 'kubernetes_api', 'server.limits.connections_per_listener');
    assert.equal((await cluster.ask({ path: '/fine', agent: pool })).text, 'fine', 'who is in is served');
    for (const one of pools) one.destroy();
    release();
    await eventually('room', async () => (await cluster.ask({ path: '/fine' })).text === 'fine');
  });

  test('the agents’ port is full of silence: the agent that is connected goes on, another one is refused', async () => {
    await hold(agent(), 4);
    const late = await rawConnection(agent());
    assert.match(await within('the refusal', 2000, late.readToEnd()), /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n/s);
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine');
    assert.ok((await limitCount(cluster.server, 'unauthenticated_connections', 'agent_api')) >= 1);
    release();
  });
});

describe('connections of strangers', () => {
  let cluster: Cluster;
  before(async () => {
    const limits = { unauthenticated_time: '1s' };
    cluster = await startCluster({
      gitlab: {},
      backend: await startBackend({ paths }),
      config: { server: { limits } },
    });
  });
  after(() => cluster.stop());
  const endpoints = () => cluster.server.endpoints;
  const closes = (what: string, closed: Promise<void>) => within(`the end of ${what}`, 4000, closed);

  test('silence, half a head, and a body that never ends are cut off on each port that wants a credential', async () => {
    const half = 'POST /k8s-proxy/x HTTP/1.1\r\nHost: k\r\nContent-Length: 1000000\r\n';
    const closings: Promise<void>[] = [];
    for (const [name, endpoint] of [
      ['8150', endpoints().agent],
      ['8153', endpoints().api],
      ['8154', endpoints().kubernetesApi],
    ] as const)
      for (const [what, bytes] of [
        ['silence', ''],
        ['half a preface', 'PRI * HTTP/2.0\r\n'],
        ['half a head', half],
        ['half a body', `${half}\r\nhalf`],
      ] as const) {
        const connection = await rawConnection(endpoint);
        connection.write(bytes);
        closings.push(closes(`${what} at ${name}`, connection.closed));
      }
    await Promise.all(closings);
    assert.ok((await limitCount(cluster.server, 'unauthenticated_time', 'agent_api')) >= 2);
    assert.ok((await limitCount(cluster.server, 'unauthenticated_time', 'kubernetes_api')) >= 2);
    await limitIsTold(cluster.server, 'unauthenticated_time', 'agent_api', 'server.limits.unauthenticated_time');
  });

  test('half a body keeps no connection for probes', async () => {
    const connection = await rawConnection(endpoints().observability);
    connection.write('POST /liveness HTTP/1.1\r\nHost: k\r\nContent-Length: 100\r\n\r\nhalf');
    await within('the end of the connection', 9000, connection.closed);
  });

  test('HTTP/2 on which nothing but refused requests comes is cut off', async () => {
    const cut = async (endpoint: Endpoint) => {
      const session = http2Session(endpoint);
      const closed = new Promise<void>((resolve) => session.once('close', resolve));
      session
        .request({ ':path': '/k8s-proxy/fine' })
        .resume()
        .on('error', () => {});
      await closes('the session', closed);
    };
    await Promise.all([endpoints().kubernetesApi, endpoints().api, endpoints().agent].map(cut));
  });

  test('a request that was let in proves a connection, over HTTP/1.1 and HTTP/2', async () => {
    const pool = new Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await cluster.ask({ path: '/fine', token: 'ci:1:job-agent', agent: pool })).text, 'fine');
    const session = http2Session(endpoints().kubernetesApi);
    const overHttp2 = () =>
      new Promise<string>((resolve, reject) => {
        const stream = session.request({
          ':path': '/k8s-proxy/fine',
          authorization: 'Bearer ci:1:job-agent',
        });
        let text = '';
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        stream.on('end', () => resolve(text)).on('error', reject);
      });
    assert.equal(await overHttp2(), 'fine');
    const [socket] = Object.values(pool.freeSockets).flat();
    assert.ok(socket);
    await delay(2500);
    assert.equal(socket.destroyed, false);
    assert.equal(await overHttp2(), 'fine');
    session.close();
    pool.destroy();
  });

  test('the connection of an agent stays, that of a wrong token does not', async () => {
    const connection = await grpcConnection(endpoints().agent);
    const before = performance.now();
    const refused = connection.call(connectPath, { token: 'agent-token-77' });
    assert.equal((await refused.status).code, 16);
    assert.equal(await closedWithin(connection, 4000), true);
    assert.ok(performance.now() - before > 800, 'not at once');
    assert.equal((await cluster.ask({ path: '/fine', token: 'ci:1:job-agent' })).text, 'fine');
  });

  test('an agent whose token nobody can judge, because GitLab is away, may wait', async () => {
    const gitlabIsBack = cluster.gitlab?.fail('/agent_info', { status: 503 });
    const connection = await grpcConnection(endpoints().agent);
    const waiting = connection.call(connectPath, { token: 'agent-token-2' });
    assert.equal(await closedWithin(connection, 2500), false);
    waiting.cancel();
    connection.close();
    gitlabIsBack?.();
  });
});

describe('TLS', () => {
  test('a handshake that never comes is not waited for', async () => {
    const tls = makeTls();
    const limits = { unauthenticated_time: '1s' };
    const cluster = await startCluster({ tls, backend: await startBackend({ paths }), config: { server: { limits } } });
    const closings: Promise<void>[] = [];
    for (const endpoint of [cluster.server.endpoints.agent, cluster.server.endpoints.kubernetesApi])
      for (const bytes of ['', '\x16\x03\x01\x02']) {
        const socket = connect({ ...connectOptions(endpoint) });
        socket.on('error', () => {});
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        socket.write(bytes);
        closings.push(within('the end', 4000, closed));
      }
    await Promise.all(closings);
    assert.ok((await limitCount(cluster.server, 'unauthenticated_time', 'kubernetes_api')) >= 2);
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine');
    await cluster.stop();
  });
});

/** Whether the server has ended the connection by then. */
function closedWithin({ session }: GrpcConnection, ms: number): Promise<boolean> {
  return Promise.race([once(session, 'close').then(() => true), delay(ms).then(() => false)]);
}

function http2Session(endpoint: Endpoint): ClientHttp2Session {
  const session = connectHttp2('http://kas.example', { createConnection: () => connect(connectOptions(endpoint)) });
  session.on('error', () => {});
  return session;
}

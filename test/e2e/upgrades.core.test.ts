// Connections that become something else: exec, attach, port-forward, at the level of bytes.
import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { startBackend, type UpgradeHandler } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { type RawConnection, rawConnection } from '../support/http1.ts';
import { eventually } from '../support/wait.ts';

const switching =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n';

describe('upgrades', () => {
  const open = new Set<Duplex>();
  const keep = (socket: Duplex) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    // An API server that sees its peer half-closed gives up the stream.
    socket.once('end', () => socket.end());
  };
  const upgrades: Record<string, UpgradeHandler> = {
    '/exec': (_, socket, head) => {
      keep(socket);
      socket.write(`${switching}hello`);
      if (head.length > 0) socket.write(head);
      socket.on('data', (chunk: Buffer) => socket.write(chunk));
    },
    '/short': (_, socket) => {
      keep(socket);
      socket.end(`${switching}bye`);
    },
    '/refuse': (_, socket) => {
      keep(socket);
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnever');
    },
  };
  let cluster: Cluster;
  before(async () => {
    const paths = { '/plain': (_: unknown, response: { end(s: string): void }) => response.end('plain') };
    cluster = await startCluster({ backend: await startBackend({ upgrades, paths }) });
  });
  after(() => cluster.stop());

  async function upgrade(path: string, more = ''): Promise<RawConnection> {
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    connection.write(
      `POST /k8s-proxy${path} HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:alice-pat\r\n` +
        `Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n${more}`,
    );
    return connection;
  }

  test('101 passes with its headers, then bytes flow both ways unchanged', async () => {
    const connection = await upgrade('/exec');
    const head = await connection.readUntil('\r\n\r\n');
    assert.match(head, /^HTTP\/1.1 101 /);
    assert.match(head, /\r\nUpgrade: SPDY\/3\.1\r\n/i);
    assert.match(head, /\r\nConnection: Upgrade\r\n/i);
    assert.match(head, /\r\nX-Stream-Protocol-Version: v4\.channel\.k8s\.io\r\n/i);
    await connection.readUntil('hello');
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    connection.write(Buffer.concat([everyByte, Buffer.from('END')]));
    assert.equal(await connection.readUntil('END'), `${everyByte.toString('latin1')}END`);
    const big = Buffer.alloc(3 << 20, 'ab');
    connection.write(Buffer.concat([big, Buffer.from('LAST')]));
    const back = await connection.readUntil('LAST', 20_000);
    assert.equal(back.length, big.length + 4);
    connection.reset();
  });

  test('bytes sent together with the request are not lost', async () => {
    const connection = await upgrade('/exec', 'early');
    await connection.readUntil('hello');
    await connection.readUntil('early');
    connection.reset();
  });

  test('a client that closes ends the cluster’s connection too', async () => {
    await eventually('no open connection', () => open.size === 0);
    const connection = await upgrade('/exec');
    await connection.readUntil('hello');
    assert.equal(open.size, 1);
    connection.close();
    await eventually('the end at the cluster', () => open.size === 0);
  });

  test('a client that is cut off ends the cluster’s connection at once', async () => {
    const connection = await upgrade('/exec');
    await connection.readUntil('hello');
    connection.reset();
    await eventually('the end at the cluster', () => open.size === 0, 2000);
  });

  test('what a cluster says before it closes arrives, and nothing is left when the client closes', async () => {
    // agentk does not tell that the cluster closed (docs/protocol/http_over_grpc.md), so the client ends it.
    const connection = await upgrade('/short');
    await connection.readUntil('bye');
    connection.reset();
    await eventually('the end at the cluster', () => open.size === 0);
  });

  test('a refused upgrade is an ordinary answer, and the connection stays usable or is closed in order', async () => {
    const connection = await upgrade('/refuse');
    const head = await connection.readUntil('\r\n\r\n');
    assert.match(head, /^HTTP\/1.1 403 /);
    await connection.readUntil('never');
    if (/\r\nconnection: close\r\n/i.test(head)) {
      await connection.closed;
    } else {
      connection.write('GET /k8s-proxy/plain HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:alice-pat\r\n\r\n');
      assert.match(await connection.readUntil('plain'), /^HTTP\/1.1 200 /);
    }
    connection.reset();
    await eventually('the end at the cluster', () => open.size === 0);
  });

  test('an upgrade without a credential is refused before the cluster hears of it', async () => {
    const before = cluster.backend.requests.length;
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    connection.write('GET /k8s-proxy/exec HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    assert.match(await connection.readUntil('\r\n\r\n'), /^HTTP\/1.1 401 /);
    connection.reset();
    assert.equal(cluster.backend.requests.length, before);
  });
});

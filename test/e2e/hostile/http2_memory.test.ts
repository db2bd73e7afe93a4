// Clients of HTTP/2 that make the server keep things: headers, answers, requests.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  Flag,
  FrameType,
  frame,
  HEADER_TABLE_SIZE,
  headerBlock,
  INITIAL_WINDOW_SIZE,
  literal,
  prefixed,
  settings,
  windowUpdate,
} from '../../support/hostile/frames.ts';
import { RawHttp2 } from '../../support/hostile/raw_http2.ts';
import { http2Listeners, type Scene, setScene } from '../../support/hostile/scene.ts';
import { delay, eventually } from '../../support/wait.ts';

const alice = { authorization: 'Bearer pat:1:alice-pat' };
const get = (path: string, more: Readonly<Record<string, string>> = alice) =>
  headerBlock({ ':method': 'GET', ':scheme': 'http', ':path': path, ':authority': 'k', ...more });
const call = (path: string, more: Readonly<Record<string, string>> = {}) =>
  headerBlock({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'k',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  });
const register = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';
const connect = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';

describe('memory that clients of HTTP/2 ask for', () => {
  let scene: Scene;
  before(async () => {
    scene = await setScene();
  });
  after(() => scene.stop());

  for (const listener of http2Listeners)
    test(`header lists of ${listener} that get large only when they are unpacked`, async () => {
      await scene.survives(async () => {
        const client = await RawHttp2.connect(scene.endpoint(listener));
        // One field of 4000 bytes in the table, then 16,000 times one byte that stands for it.
        const first = Buffer.concat([get('/'), literal(0x40, 'x', 'y'.repeat(3900))]);
        await client.send(frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, 1, first));
        for (let stream = 3; stream < 200; stream += 2) {
          const bomb = Buffer.concat([get('/'), Buffer.alloc(16_000, 0x80 | 62)]);
          if (!(await client.send(frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, stream, bomb)))) break;
        }
        await Promise.race([client.closed, delay(500)]);
        client.close();
      });
    });

  test('a header table as large as can be, asked for by the client', async () => {
    await scene.survives(async () => {
      const client = await RawHttp2.connect(scene.endpoint('kubernetesApi'), { [HEADER_TABLE_SIZE]: 0x7fffffff });
      for (let stream = 1; stream < 2000; stream += 2) {
        const resize = Buffer.concat([prefixed(0x7fffffff, 5), get(`/k8s-proxy/fine?${stream}`)]);
        resize[0] = resize[0]! | 0x20;
        if (!(await client.send(frame(FrameType.Headers, 5, stream, resize)))) break;
      }
      await Promise.race([client.closed, delay(300)]);
      client.close();
    });
  });

  test('answers of 8 MiB to clients without a window', async () => {
    await scene.survives(async () => {
      const clients = await Promise.all(
        Array.from({ length: 20 }, () =>
          RawHttp2.connect(scene.endpoint('kubernetesApi'), { [INITIAL_WINDOW_SIZE]: 0 }),
        ),
      );
      for (const client of clients)
        for (let stream = 1; stream < 40; stream += 2)
          await client.send(frame(FrameType.Headers, 5, stream, get('/k8s-proxy/large')));
      await delay(3000);
      for (const client of clients) client.close();
    });
  });

  test('answers of 8 MiB, a byte at a time', async () => {
    await scene.survives(async () => {
      const client = await RawHttp2.connect(scene.endpoint('kubernetesApi'), { [INITIAL_WINDOW_SIZE]: 0 });
      for (let stream = 1; stream < 20; stream += 2)
        await client.send(frame(FrameType.Headers, 5, stream, get('/k8s-proxy/large')));
      await eventually('the heads of the answers', () => client.count(FrameType.Headers) === 10, 20_000);
      const end = performance.now() + 2000;
      for (; performance.now() < end; await delay(1))
        for (let stream = 1; stream < 20; stream += 2) assert.ok(await client.send(windowUpdate(stream, 1)));
      assert.ok(client.count(FrameType.Data) > 0);
      client.close();
    });
  });

  test('answers of 8 MiB to sockets that nobody reads', async () => {
    await scene.survives(async () => {
      const wide = { [INITIAL_WINDOW_SIZE]: 0x7fffffff };
      const clients = await Promise.all(
        Array.from({ length: 40 }, () => RawHttp2.connect(scene.endpoint('kubernetesApi'), wide)),
      );
      for (const client of clients) {
        client.stall();
        await client.send(windowUpdate(0, 0x7fff0000 - 65_535));
        for (let stream = 1; stream < 20; stream += 2)
          await client.send(frame(FrameType.Headers, 5, stream, get('/k8s-proxy/large')));
      }
      await delay(3000);
      for (const client of clients) client.close();
    });
  });

  test('short answers by the thousand to a socket that nobody reads', async () => {
    await scene.survives(async () => {
      const client = await RawHttp2.connect(scene.endpoint('kubernetesApi'));
      client.stall();
      const end = performance.now() + 3000;
      for (let stream = 1; stream < 100_000 && performance.now() < end; stream += 2) {
        const request = frame(FrameType.Headers, 5, stream, get('/no/such/prefix', {}));
        if ((await Promise.race([client.send(request), delay(500)])) !== true) break;
      }
      client.close();
    });
  });

  // A frame of one byte is kept as an object of its own: a message or a window of such weighs a hundred times what it counts.
  const crumbs = (stream: number, count: number) => {
    const one = frame(FrameType.Data, 0, stream, Buffer.of(0x20));
    return Buffer.concat(Array.from({ length: count }, () => one));
  };

  async function crumble(client: RawHttp2, streams: readonly number[], bytesEach: number): Promise<void> {
    const end = performance.now() + 8000;
    for (let sent = 0; sent < bytesEach && performance.now() < end; sent += 1000)
      for (const stream of streams)
        if ((await Promise.race([client.send(crumbs(stream, 1000)), delay(1000)])) !== true) return;
  }

  test('a message of 4 MiB in frames of one byte, from an agent', { timeout: 120_000 }, async () => {
    await scene.survives(async () => {
      const client = await RawHttp2.connect(scene.endpoint('agent'));
      const streams = [1, 3, 5, 7];
      for (const stream of streams) {
        await client.send(
          frame(FrameType.Headers, 4, stream, call(connect, { authorization: 'Bearer agent-token-1' })),
        );
        // A tunnel that serves nothing; what is kept of a call in full, as its description is, is refused if it is large.
        await client.send(frame(FrameType.Data, 0, stream, Buffer.from([0, 0, 0, 0, 4, 0x0a, 2, 0x0a, 0])));
        await client.send(frame(FrameType.Data, 0, stream, Buffer.from([0, 0, 0x40, 0, 0])));
      }
      await crumble(client, streams, 1 << 20);
      client.close();
    });
  });

  test('the same from somebody whom GitLab does not know', { timeout: 120_000 }, async () => {
    await scene.survives(async () => {
      const client = await RawHttp2.connect(scene.endpoint('agent'));
      const streams = [1, 3, 5, 7];
      for (const stream of streams) {
        await client.send(
          frame(FrameType.Headers, 4, stream, call(connect, { authorization: `Bearer nobody-${stream}` })),
        );
        await client.send(frame(FrameType.Data, 0, stream, Buffer.from([0, 0, 0x40, 0, 0])));
      }
      // As much as is kept of a stranger's request.
      const requests = [9, 11];
      for (const stream of requests) {
        await client.send(frame(FrameType.Headers, 4, stream, call(register, { authorization: 'Bearer nobody' })));
        await client.send(frame(FrameType.Data, 0, stream, Buffer.from([0, 0, 0, 0x80, 0])));
      }
      await crumble(client, [...streams, ...requests], 1 << 20);
      client.close();
    });
  });

  test('uploads in frames of one byte to a cluster that does not read', { timeout: 120_000 }, async () => {
    await scene.survives(async () => {
      const clients = await Promise.all(
        Array.from({ length: 4 }, () => RawHttp2.connect(scene.endpoint('kubernetesApi'))),
      );
      const head = headerBlock({
        ':method': 'POST',
        ':scheme': 'http',
        ':path': '/k8s-proxy/unread',
        ':authority': 'k',
        ...alice,
      });
      const streams = [1, 3, 5, 7];
      for (const client of clients) {
        for (const stream of streams) await client.send(frame(FrameType.Headers, 4, stream, head));
        // As much as the agent and the cluster take on their way.
        for (const stream of streams)
          for (let i = 0; i < 16; i++) await client.send(frame(FrameType.Data, 0, stream, Buffer.alloc(16_000)));
      }
      await Promise.all(clients.map((client) => crumble(client, streams, 256 << 10)));
      for (const client of clients) client.close();
    });
  });

  for (const listener of ['api', 'kubernetesApi', 'privateApi'] as const)
    test(`a request in frames of one byte, to ${listener}`, { timeout: 120_000 }, async () => {
      await scene.survives(async () => {
        const client = await RawHttp2.connect(scene.endpoint(listener));
        const head =
          listener === 'kubernetesApi'
            ? headerBlock({
                ':method': 'POST',
                ':scheme': 'http',
                ':path': '/k8s-proxy/fine',
                ':authority': 'k',
                ...alice,
              })
            : call('/gitlab.agent.server_info.rpc.ServerInfo/GetServerInfo');
        await client.send(Buffer.concat([settings(), frame(FrameType.Headers, 4, 1, head)]));
        await crumble(client, [1], 1 << 20);
        client.close();
      });
    });
});

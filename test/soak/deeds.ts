import { connect as connectHttp2 } from 'node:http2';
import type { Cluster } from '../support/cluster.ts';
import { addressOf } from '../support/endpoint.ts';
import { grpcConnection, grpcOver } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { rawConnection } from '../support/http1.ts';
import { railsJwt } from '../support/internal_api.ts';
import { delay, within } from '../support/wait.ts';
import { grpcInWebSocket } from '../support/websocket.ts';

/** Does one thing that clients do, and says what came of it in a word or two. */
export type Deed = () => Promise<string>;

const between = (least: number, most: number) => least + Math.random() * (most - least);

/** Every kind of request, and what people do to them. */
export function deeds(cluster: Cluster): Readonly<Record<string, Deed>> {
  const { server, gitlab } = cluster;
  const { endpoints } = server;
  const status = async (asked: Parameters<Cluster['ask']>[0]) => String((await cluster.ask(asked)).status);
  const credential = 'Authorization: Bearer pat:1:alice-pat\r\n';
  return {
    get: () => status({ path: '/fine' }),
    'get, CI job': () => status({ path: '/fine', token: 'ci:1:job-agent' }),
    'get, not allowed': () => status({ path: '/fine', token: `pat:1:nobody-${Math.floor(between(0, 50))}` }),
    'get, no credential': () => status({ path: '/fine', token: null }),
    'get over HTTP/2': async () => {
      const session = connectHttp2(`http://${addressOf(endpoints.kubernetesApi)}`);
      session.on('error', () => {});
      const path = '/k8s-proxy/fine';
      const stream = session.request({ ':path': path, authorization: 'Bearer pat:1:alice-pat' });
      const answered = new Promise<string>((resolve, reject) => {
        stream.on('response', (headers) => resolve(String(headers[':status'])));
        stream.on('error', reject).on('close', () => resolve('closed'));
      });
      stream.resume();
      return answered.finally(() => session.destroy());
    },
    watch: async () => {
      const response = await cluster.open({ path: '/watch' });
      response.on('error', () => {}).resume();
      await delay(between(50, 3000));
      response.destroy();
      return String(response.statusCode);
    },
    download: () => status({ path: '/large' }),
    'download, broken off': async () => {
      const response = await cluster.open({ path: '/large' });
      response.on('error', () => {});
      response.once('data', () => response.destroy());
      await delay(20);
      response.destroy();
      return String(response.statusCode);
    },
    upload: () => status({ path: '/upload', method: 'POST', body: Buffer.alloc(300_000, 'u') }),
    'upload, broken off': async () => {
      const raw = await rawConnection(endpoints.kubernetesApi);
      raw.write(`POST /k8s-proxy/upload HTTP/1.1\r\nHost: k\r\n${credential}Content-Length: 1000000\r\n\r\nhalf`);
      await delay(between(0, 100));
      raw.close();
      return 'gone';
    },
    exec: async () => {
      const raw = await rawConnection(endpoints.kubernetesApi);
      raw.write(
        `POST /k8s-proxy/exec HTTP/1.1\r\nHost: k\r\n${credential}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`,
      );
      try {
        const line = (await raw.readUntil('\r\n\r\n', 30_000)).slice(9, 12);
        if (line !== '101') return line;
        raw.write('echo this');
        await raw.readUntil('echo this', 30_000);
        return line;
      } finally {
        if (Math.random() < 0.5) raw.reset();
        else raw.close();
      }
    },
    'call of GitLab': async () => {
      const headers = {
        authorization: `Bearer ${railsJwt(gitlab?.secret ?? Buffer.alloc(0))}`,
        'content-type': 'application/json',
      };
      const path = '/gitlab.agent.agent_tracker.rpc.AgentTracker/GetConnectedAgents';
      const answer = await ask(endpoints.api, { method: 'POST', path, headers, body: '{"agentId":"1"}' });
      return String(answer.status);
    },
    'probe and metrics': async () => {
      await ask(endpoints.observability, { path: '/metrics' });
      return String((await ask(endpoints.observability, { path: '/liveness' })).status);
    },
    'agent that nobody knows': async () => {
      const connection = await grpcInWebSocket(endpoints.agent);
      const call = connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', { token: 'nobody' });
      call.halfClose();
      const { code } = await call.status;
      connection.close();
      return `status ${code}`;
    },
    'tunnel, opened and cut': async () => {
      const connection = await grpcConnection(endpoints.agent);
      connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', { token: 'agent-token-2' });
      await delay(between(0, 50));
      connection.close();
      return 'gone';
    },
    'bytes of no sense': async () => {
      for (const endpoint of Object.values(endpoints)) {
        const raw = await rawConnection(endpoint);
        raw.write(Buffer.from(Array.from({ length: 200 }, () => Math.floor(between(0, 256)))));
        await Promise.race([raw.closed, delay(100)]);
        raw.close();
      }
      return 'gone';
    },
    'WebSocket, cut at once': async () => {
      const raw = await rawConnection(endpoints.agent);
      raw.write(
        'GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
      );
      raw.write('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ws-tunnel\r\n\r\n');
      await raw.readUntil('\r\n\r\n');
      const connection = await Promise.race([grpcOver(raw.socket).catch(() => undefined), delay(10)]);
      connection?.close();
      raw.close();
      return 'gone';
    },
  };
}

/** Does it, and never throws. */
export async function attempt(deed: Deed): Promise<string> {
  return await within('it', 60_000, deed()).catch(
    (error: Error & { code?: string }) => error.code ?? error.message.slice(0, 60),
  );
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface BackendRequest {
  readonly method: string;
  readonly url: string;
  /** Names in the case in which they came. */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
}

/** An API server that does what the test says: one handler a path. */
export interface Backend {
  readonly url: string;
  readonly requests: readonly BackendRequest[];
  /** Connections that are open now. */
  readonly connections: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface BackendOptions {
  /** By path, without the query. */
  readonly paths?: Readonly<Record<string, Handler>>;
  /** For all other paths; default 404. */
  readonly otherwise?: Handler;
  readonly upgrades?: Readonly<Record<string, UpgradeHandler>>;
}

export async function startBackend(options: BackendOptions = {}): Promise<Backend> {
  const requests: BackendRequest[] = [];
  const connections = new Set<Socket>();
  const pathOf = (request: IncomingMessage) => (request.url ?? '').replace(/\?.*/, '');
  const record = (request: IncomingMessage) => {
    const { method = '', url = '', rawHeaders, headers } = request;
    requests.push({ method, url, rawHeaders, headers });
  };
  const server = createServer((request, response) => {
    record(request);
    const handler = options.paths?.[pathOf(request)] ?? options.otherwise;
    if (handler !== undefined) handler(request, response);
    else response.writeHead(404, { 'content-type': 'text/plain' }).end('no such path\n');
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    record(request);
    socket.on('error', () => {});
    const handler = options.upgrades?.[pathOf(request)];
    if (handler !== undefined) handler(request, socket, head);
    else socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  });
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of connections) socket.destroy();
      }),
  };
}

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** Where something listens. */
export interface Endpoint {
  readonly network: 'tcp' | 'unix';
  /** For TCP. */
  readonly host: string;
  readonly port: number;
  /** For UNIX sockets. */
  readonly path: string;
  /** The CA's certificate in PEM, when the endpoint speaks TLS. */
  readonly ca: string | undefined;
}

/** Options that make node's http, https, http2 and tls connect there. */
export function connectOptions(endpoint: Endpoint): { host: string; port: number } | { path: string } {
  return endpoint.network === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port };
}

/** A connected socket, inside TLS when the endpoint has it. */
export async function dial(endpoint: Endpoint, alpn: string[] = []): Promise<Socket> {
  if (endpoint.ca === undefined) {
    const socket = connect({ ...connectOptions(endpoint), allowHalfOpen: false });
    await once(socket, 'connect');
    return socket;
  }
  const tls = { ca: endpoint.ca, servername: 'localhost', ...(alpn.length > 0 && { ALPNProtocols: alpn }) };
  const socket = connectTls({ ...connectOptions(endpoint), ...tls });
  await once(socket, 'secureConnect');
  return socket;
}

/** As it stands in an address of the configuration file. */
export function addressOf(endpoint: Endpoint): string {
  return endpoint.network === 'unix' ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
}

/** The system gives a port that was just closed again at times. */
const given = new Set<number>();

/** A TCP port of 127.0.0.1 that nobody uses now, and that was not given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

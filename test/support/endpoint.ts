import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
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

/**
 * Ports that the kernel gives to nobody by itself, as it does those above 32768 to each connection that begins: one that is free
 * now is still free when its server starts. Each test process begins elsewhere.
 */
const PORTS = { first: 12_000, count: 9000 };
let next = (process.pid * 97) % PORTS.count;

/** A TCP port of 127.0.0.1 that nobody uses now, and that was not given lately. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + next;
    next = (next + 1) % PORTS.count;
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

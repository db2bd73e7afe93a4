import { connect as connectTcp, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { createWebSocketStream, WebSocket } from 'ws';
import type { ChannelOptions } from './options.ts';

/** Where and how to reach kas. */
export interface KasTarget {
  /** `:authority` of every RPC. */
  readonly authority: string;
  /** Headers that go with every RPC (native gRPC only; over a WebSocket they go with the handshake). */
  readonly metadata: Readonly<Record<string, string>>;
  /** A new transport; it may still be connecting. Errors come out of the stream. */
  dial(): Duplex;
}

/** @throws {Error} when the address is none of the four forms */
export function kasTarget(options: ChannelOptions, userAgent: string): KasTarget {
  const match = /^(grpcs?|wss?):\/\/([^/]+)(\/.*)?$/.exec(options.kasAddress);
  if (match === null) throw new Error(`unsupported scheme in kas-address: ${options.kasAddress}`);
  const [, scheme, hostAndPort] = match as unknown as [string, string, string];
  const headers = Object.fromEntries((options.kasHeaders ?? []).map(splitHeader));
  const tls = {
    ...(options.caCert === undefined ? {} : { ca: options.caCert }),
    ...(options.tlsServerName === undefined ? {} : { servername: options.tlsServerName }),
    rejectUnauthorized: options.insecureSkipTlsVerify !== true,
    minVersion: 'TLSv1.2' as const,
  };
  if (scheme === 'ws' || scheme === 'wss') {
    return {
      // grpc-go derives it from the whole URL and percent-encodes what is no host (docs/protocol/agent.md).
      authority: options.kasAddress.replaceAll('/', '%2F'),
      metadata: {},
      dial: () => dialWebSocket(options.kasAddress, { ...headers, 'User-Agent': userAgent }, tls),
    };
  }
  const metadata = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const { host, port } = splitHostPort(hostAndPort, scheme === 'grpcs' ? 443 : 80);
  const dial = (): Duplex =>
    scheme === 'grpcs'
      ? connectTls({ host, port, ALPNProtocols: ['h2'], ...(isIP(host) ? {} : { servername: host }), ...tls })
      : connectTcp({ host, port, noDelay: true });
  return { authority: hostAndPort, metadata, dial };
}

function dialWebSocket(url: string, headers: Record<string, string>, tls: object): Duplex {
  const socket = new WebSocket(url, 'ws-tunnel', {
    headers,
    perMessageDeflate: false,
    followRedirects: false,
    maxPayload: 10 << 20,
    handshakeTimeout: 20_000,
    ...tls,
  });
  const stream = createWebSocketStream(socket);
  // HTTP/2 needs no more than this, and a server that closes with 1000 means EOF, not an error.
  socket.on('unexpected-response', (_request, response) => {
    stream.destroy(new Error(`WebSocket handshake failed: expected 101, got ${response.statusCode}`));
  });
  return stream;
}

function splitHeader(header: string): [string, string] {
  const colon = header.indexOf(':');
  if (colon < 1) throw new Error(`invalid kas-header: ${JSON.stringify(header)}`);
  return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()];
}

function splitHostPort(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  if (match === null) throw new Error(`invalid host and port: ${text}`);
  return { host: (match[1] ?? match[2])!, port: match[3] === undefined ? defaultPort : Number(match[3]) };
}

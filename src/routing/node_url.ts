import { connect as connectTcp, isIP, isIPv6, Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { errorText } from '../runtime/app_error.ts';

/** Where another node's private API is, read from its URL (docs/protocol/own_private_api.md). */
export type NodeEndpoint =
  | { readonly kind: 'tcp' | 'tls'; readonly host: string; readonly port: number; readonly authority: string }
  | { readonly kind: 'unix'; readonly path: string; readonly authority: string };

const DEFAULT_PORTS = { tcp: 80, tls: 443 };

/** Undefined: it is no URL of a private API. */
export function parseNodeUrl(url: string): NodeEndpoint | undefined {
  if (url.startsWith('unix:')) {
    const path = url.slice('unix:'.length).replace(/^\/\/(?=.)/, '');
    return path === '' ? undefined : { kind: 'unix', path, authority: 'localhost' };
  }
  const kind = url.startsWith('grpcs://') ? 'tls' : url.startsWith('grpc://') ? 'tcp' : undefined;
  // The WHATWG parser knows hosts and ports only of schemes that it knows.
  const http = `http://${url.slice(url.indexOf('://') + 3)}`;
  if (kind === undefined || !URL.canParse(http)) return undefined;
  const { hostname, port, pathname } = new URL(http);
  if (hostname === '' || pathname !== '/') return undefined;
  // An empty port is the scheme's; and 80, which URL drops because it is http's.
  const explicit = /:(\d+)\/?$/.exec(http)?.[1] ?? port;
  const number = explicit === '' ? DEFAULT_PORTS[kind] : Number(explicit);
  const host = hostname.replace(/^\[|\]$/g, '');
  return { kind, host, port: number, authority: `${isIPv6(host) ? `[${host}]` : host}:${number}` };
}

export interface NodeTls {
  /** Made when it is needed first. */
  readonly secureContext: () => SecureContext;
  /** The name that certificates of other nodes must have; empty: that of the URL. */
  readonly serverName: string;
}

/** What this node trusts cannot be read. */
export class UntrustingError extends Error {
  override readonly name = 'UntrustingError';
}

/** A socket that is connecting. Errors are the caller's to listen for, also that there is nothing to trust. */
export function connectNode(endpoint: NodeEndpoint, tls: NodeTls): Socket {
  if (endpoint.kind === 'unix') return connectTcp({ path: endpoint.path });
  const { host, port } = endpoint;
  if (endpoint.kind === 'tcp') return connectTcp({ host, port, noDelay: true });
  const name = tls.serverName || host;
  let secureContext: SecureContext;
  try {
    secureContext = tls.secureContext();
  } catch (error) {
    return new Socket().destroy(new UntrustingError(errorText(error), { cause: error }));
  }
  return connectTls({
    host,
    port,
    secureContext,
    ALPNProtocols: ['h2'],
    ...(isIP(name) === 0 && { servername: name }),
  });
}

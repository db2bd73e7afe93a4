import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** Where a Gitaly listens. */
export type GitalyAddress =
  | { readonly kind: 'tcp' | 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | {
      /** A name with several addresses, over which the calls are spread. */
      readonly kind: 'dns';
      readonly host: string;
      readonly port: number;
      /** The DNS server to ask, as host:port; undefined: whom the system asks. */
      readonly server: string | undefined;
    };

const DNS_DEFAULT_PORT = 443;
const DNS_SERVER_PORT = 53;

/**
 * Reads an address as GitLab sends it: `tcp://host:port`, `tls://host:port`, `unix:/path`, `dns:host[:port]` or
 * `dns://[server]/host[:port]` (docs/protocol/gitaly.md).
 * @throws AppError InvalidArgument
 */
export function parseGitalyAddress(text: string): GitalyAddress {
  if (text === '') throw badAddress('address is empty');
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  if (scheme === 'unix') {
    const path = rest.startsWith('//') ? rest.slice(2) : rest;
    if (path.startsWith('/') && path.length > 1) return { kind: 'unix', path };
  } else if (scheme === 'dns') {
    const dns = parseDns(rest);
    if (dns !== undefined) return dns;
  } else if ((scheme === 'tcp' || scheme === 'tls') && rest.startsWith('//')) {
    const [, authority = '', path = ''] = /^([^/]*)(.*)$/s.exec(rest.slice(2)) ?? [];
    if (path !== '') throw badAddress(`remote addresses should not have a path: "${path}"`);
    if (authority === '') throw badAddress('remote addresses should have a host');
    const place = hostAndPort(authority, undefined);
    if (place !== undefined) return { kind: scheme, ...place };
  }
  throw badAddress(`invalid connection string: "${text}"`);
}

function parseDns(rest: string): GitalyAddress | undefined {
  const [, serverText, name = ''] = /^(?:\/\/([^/]*)\/)?([^/]+)$/.exec(rest) ?? [];
  const place = hostAndPort(name, DNS_DEFAULT_PORT);
  if (place === undefined) return undefined;
  if (serverText === undefined || serverText === '') return { kind: 'dns', ...place, server: undefined };
  const server = hostAndPort(serverText, DNS_SERVER_PORT);
  return server && { kind: 'dns', ...place, server: `${inUrl(server.host)}:${server.port}` };
}

function hostAndPort(text: string, defaultPort: number | undefined): { host: string; port: number } | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]@]+))(?::(\d+))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = portText === undefined ? defaultPort : Number(portText);
  if (host === undefined || port === undefined || port < 1 || port > 65535) return undefined;
  return { host, port };
}

/** A host as it stands in URLs: IPv6 addresses in brackets. */
export function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function badAddress(message: string): AppError {
  return new AppError(StatusCode.InvalidArgument, `could not dial source: ${message}`);
}

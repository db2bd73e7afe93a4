import { BlockList, isIP } from 'node:net';
import type { Environment } from '../net/trusted_roots.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/**
 * The proxy through which `url` is to be reached, or undefined for none: `HTTPS_PROXY` or `HTTP_PROXY` by the URL's scheme,
 * `NO_PROXY` (names with their subdomains, addresses, CIDR blocks, each perhaps with a port, `*` for all), upper case before
 * lower case. This machine is never asked for through a proxy.
 *
 * @throws AppError InvalidArgument if the variable is no http or https URL
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = env[name] || env[name.toLowerCase()];
  if (!value) return undefined;
  const host = hostOf(url);
  if (isThisMachine(host) || isExempt(host, portOf(url), env.NO_PROXY || env.no_proxy || '')) return undefined;
  return proxyUrl(name, value);
}

/** The host without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function proxyUrl(name: string, value: string): URL {
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  // The value is not shown: it may hold a password.
  if (url === null) throw new AppError(StatusCode.InvalidArgument, `${name} is not a URL`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new AppError(
      StatusCode.InvalidArgument,
      `${name}: proxies of scheme ${url.protocol.slice(0, -1)} are not supported`,
      {
        hint: 'use an http or https proxy',
      },
    );
  }
  return url;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function isThisMachine(host: string): boolean {
  return host === 'localhost' || contains(loopback, host);
}

function contains(list: BlockList, host: string): boolean {
  const version = isIP(host);
  return version !== 0 && list.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

function isExempt(host: string, port: number, noProxy: string): boolean {
  return noProxy
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(entry, host.toLowerCase(), port));
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true;
  const block = /^([0-9a-f.:]+)\/(\d+)$/.exec(entry);
  if (block?.[1] !== undefined) return isInBlock(block[1], Number(block[2]), host);
  const [name, wantedPort] = splitPort(entry);
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (isIP(name) !== 0) return name === host;
  // `example.com` means itself and what is below, `.example.com` and `*.example.com` only what is below.
  const below = name.replace(/^\*/, '');
  return below.startsWith('.') ? host.endsWith(below) : host === below || host.endsWith(`.${below}`);
}

function splitPort(entry: string): [string, number | undefined] {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(entry) ?? /^([^:]+):(\d+)$/.exec(entry);
  if (bracketed?.[1] === undefined) return [entry, undefined];
  return [bracketed[1], bracketed[2] === undefined ? undefined : Number(bracketed[2])];
}

function isInBlock(network: string, bits: number, host: string): boolean {
  const version = isIP(network);
  if (version === 0 || bits > (version === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, version === 4 ? 'ipv4' : 'ipv6');
  return contains(list, host);
}

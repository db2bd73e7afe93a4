import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { Network } from '../config.ts';

/** What fits into sun_path, without its closing zero byte. */
const longestSocketPath = 107;

/**
 * What is wrong with `address` as something to listen on or to dial, or undefined.
 * @param address host:port (the host may be empty), or an absolute path when `network` is unix
 */
export function addressProblem(network: Network, address: string): string | undefined {
  if (network === 'unix') return socketPathProblem(address);
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(address);
  if (match === null) {
    const path = address.startsWith('/') ? ' (for a socket, set network: unix)' : '';
    const hint = isIPv6(address) ? '; an IPv6 address needs brackets, as in [::1]:8150' : path;
    return `is not host:port${hint}`;
  }
  const [, bracketed, plain = '', port = ''] = match;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) return `has no port between 0 and 65535`;
  if (bracketed !== undefined && !isIPv6(bracketed)) return 'has something other than an IPv6 address in its brackets';
  const host = bracketed ?? plain;
  if (network === 'tcp4' && isIPv6(host)) return 'is an IPv6 address, and the network is tcp4';
  if (network === 'tcp6' && isIPv4(host)) return 'is an IPv4 address, and the network is tcp6';
  if (host !== '' && isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(host)) {
    return 'has a host that is neither a name nor an IP address';
  }
  return undefined;
}

function socketPathProblem(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (path.includes('\0')) return 'is no path: it has a zero byte in it';
  if (bytes > longestSocketPath) {
    return `is too long for a socket: ${bytes} bytes, and the system takes ${longestSocketPath}`;
  }
  return undefined;
}

/** A rule: an absolute URL with one of the schemes. */
export function urlRule(...schemes: readonly string[]): (value: string) => string | undefined {
  return (value) => {
    if (!URL.canParse(value)) return 'is not an absolute URL';
    const { protocol, hostname } = new URL(value);
    if (!schemes.includes(protocol.slice(0, -1))) return `is not a URL with ${schemes.join('://, ')}://`;
    return hostname === '' ? 'is a URL without a host' : undefined;
  };
}

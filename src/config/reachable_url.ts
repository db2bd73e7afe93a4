import { isIP } from 'node:net';
import type { RedisConfig } from './config.ts';
import type { Machine } from './own_private_api.ts';

/**
 * Why other machines would not reach this node at `url`; undefined if they may. Names are not looked up: what they mean to this
 * machine says nothing of the others.
 */
export function unreachableBecause(url: string, { addresses }: Pick<Machine, 'addresses'>): string | undefined {
  if (url.startsWith('unix:')) return 'it is a socket of this machine';
  const http = url.replace(/^grpcs?:/, 'http:');
  // Nothing but host and port: no user, path, query or fragment.
  if (!/^grpcs?:\/\/[^/?#@]+\/?$/.test(url) || !URL.canParse(http))
    return 'it is no URL of the form grpc://host:port, grpcs://host:port or unix:///path';
  const host = new URL(http).hostname.replace(/^\[|\]$/g, '');
  if (host === 'localhost' || /^127\./.test(host) || host === '::1') return `${host} is this machine for every machine`;
  if (host === '0.0.0.0' || host === '::') return `${host} is no address to connect to`;
  if (isIP(host) !== 0 && !addresses.includes(host)) return `this machine does not have the address ${host}`;
  return undefined;
}

/**
 * Whether nodes on other machines may use this Redis: one that is reached through this machine alone says that there are none.
 */
export function isSharedWithOtherMachines({ network, endpoint }: RedisConfig): boolean {
  if (network === 'unix') return false;
  const addresses = 'address' in endpoint ? [endpoint.address] : endpoint.addresses;
  return addresses.some((address) => !/^(?:localhost|127\.|\[::1\])/.test(address));
}

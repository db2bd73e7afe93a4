import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import type { Listen } from './config.ts';

/** What decides how other nodes reach this one, besides the file. */
export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** IP addresses of all network interfaces. */
  readonly addresses: readonly string[];
}

/** `urls` is empty when no address was found that other nodes could reach. */
export type OwnUrls = { readonly urls: readonly string[] } | { readonly wrong: string };

/**
 * The URLs at which other nodes reach this node's private API, from the environment variables OWN_PRIVATE_API_* or the listener.
 * Texts and order of the rules are upstream's, docs/protocol/own_private_api.md.
 */
export function ownPrivateApiUrls(listen: Pick<Listen, 'network' | 'address'>, { env, addresses }: Machine): OwnUrls {
  const { OWN_PRIVATE_API_URL: url, OWN_PRIVATE_API_CIDR: cidr, OWN_PRIVATE_API_PORT: envPort } = env;
  if (url && cidr) return { wrong: 'either OWN_PRIVATE_API_URL or OWN_PRIVATE_API_CIDR should be specified, not both' };
  if (url) return { urls: [url] };
  const wrongPort = envPort ? portProblem(envPort) : undefined;
  if (wrongPort !== undefined) return { wrong: wrongPort };
  const scheme = env.OWN_PRIVATE_API_SCHEME || 'grpc';
  if (scheme !== 'grpc' && scheme !== 'grpcs') {
    return { wrong: `OWN_PRIVATE_API_SCHEME environment variable schould be either grpc or grpcs, got: ${scheme}` };
  }
  const colon = listen.address.lastIndexOf(':');
  const listened = listen.network === 'unix' ? undefined : listen.address.slice(colon + 1);
  const port = envPort ? String(Number(envPort)) : listened;
  if (cidr) {
    const matching = addressesIn(cidr, addresses);
    if ('wrong' in matching) return matching;
    if (port === undefined) return { wrong: 'cannot determine port for own URL. Specify OWN_PRIVATE_API_PORT' };
    return { urls: matching.urls.map((ip) => urlOf(scheme, ip, port)) };
  }
  if (listen.network === 'unix' || port === undefined) return { urls: [`unix://${listen.address}`] };
  const host = listen.address.slice(0, colon).replace(/^\[|\]$/g, '');
  if (!isWildcard(host)) return { urls: [urlOf(scheme, host, port)] };
  const reachable = addresses.filter((ip) => !isLocal(ip) && listensOn(listen.network, host, ip));
  return { urls: reachable.map((ip) => urlOf(scheme, ip, port)) };
}

function portProblem(written: string): string | undefined {
  const parsing = `error parsing OWN_PRIVATE_API_PORT environment variable: strconv.ParseUint: parsing ${JSON.stringify(written)}`;
  if (!/^\d+$/.test(written)) return `${parsing}: invalid syntax`;
  if (Number(written) > 65535) return `${parsing}: value out of range`;
  return Number(written) === 0 ? `invalid port in OWN_PRIVATE_API_PORT environment variable: ${written}` : undefined;
}

/** Addresses in one of the networks of a comma list. */
function addressesIn(list: string, addresses: readonly string[]): OwnUrls {
  const networks = new BlockList();
  for (const cidr of list.split(',').map((part) => part.trim())) {
    const [network = '', prefix = ''] = cidr.split('/');
    const family = isIP(network);
    if (family === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128)) {
      const text = 'failed to parse OWN_PRIVATE_API_CIDR environment variable: invalid CIDR address';
      return { wrong: `${text}: ${cidr}` };
    }
    networks.addSubnet(network, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  }
  const urls = addresses.filter((ip) => networks.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6'));
  if (urls.length > 0) return { urls };
  return { wrong: 'no IPs matched CIDR specified in the OWN_PRIVATE_API_CIDR environment variable' };
}

function urlOf(scheme: string, host: string, port: string): string {
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function isWildcard(host: string): boolean {
  return host === '' || host === '0.0.0.0' || (isIPv6(host) && /^[0:]+$/.test(host));
}

/** Whether a listener on the wildcard `host` takes connections to `ip`. `[::]` and the empty host are both families. */
function listensOn(network: Listen['network'], host: string, ip: string): boolean {
  if (network === 'tcp4' || host === '0.0.0.0') return isIPv4(ip);
  return network !== 'tcp6' || isIPv6(ip);
}

/** Loopback or link-local. */
function isLocal(ip: string): boolean {
  return isIPv4(ip) ? /^(?:127|169\.254)\./.test(ip) : /^(?:::1$|fe[89ab])/i.test(ip);
}

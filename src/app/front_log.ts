import type { PrivateApiConfig } from '../config/config.ts';
import type { Front } from '../net/front.ts';
import type { Log } from '../observability/log.ts';

/** The line that administrators look for when they want to know whether a listener is up, and where. */
export function logUp(log: Log, what: string, front: Front, fields: Record<string, unknown> = {}): void {
  log.info(`${what} endpoint is up`, { net_network: front.network, net_address: front.address, ...fields });
}

/** Where other nodes are to reach this one: the first thing to look at when they do not. */
export function logOwnUrls(log: Log, privateApi: PrivateApiConfig | undefined): void {
  for (const url of privateApi?.ownUrls ?? []) log.info('Using own private API URL', { url });
}

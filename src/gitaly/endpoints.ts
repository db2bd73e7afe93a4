import { promises as dns, Resolver } from 'node:dns';
import type { Clock } from '../runtime/clock.ts';
import type { GitalyAddress } from './address.ts';
import { UnreachableError } from './connection.ts';
import type { Endpoint } from './dial.ts';

const REFRESH_MS = 5 * 60_000;

/** Asks for the addresses of a name, `server` (host:port) or whom the system asks. */
export type Lookup = (host: string, server: string | undefined) => Promise<readonly string[]>;

/** Where an address leads: to one endpoint, or for `dns:` to as many as the name has addresses. */
export class Endpoints {
  readonly #address: GitalyAddress;
  readonly #clock: Clock;
  readonly #lookup: Lookup;
  readonly #fixed: readonly Endpoint[] | undefined;
  #resolved: { readonly endpoints: readonly Endpoint[]; readonly untilMs: number } | undefined;
  #resolving: Promise<readonly Endpoint[]> | undefined;

  constructor(address: GitalyAddress, clock: Clock, lookup: Lookup = lookupAddresses) {
    this.#address = address;
    this.#fixed = address.kind === 'dns' ? undefined : [address];
    this.#clock = clock;
    this.#lookup = lookup;
  }

  /** The endpoints, if there is nothing to ask for; the same list as long as it is true. */
  get known(): readonly Endpoint[] | undefined {
    if (this.#fixed !== undefined) return this.#fixed;
    const resolved = this.#resolved;
    return resolved !== undefined && this.#clock.monotonicMs() < resolved.untilMs ? resolved.endpoints : undefined;
  }

  /**
   * A name is asked for again every five minutes, and after `refresh`; while nobody answers, what was known counts.
   * @throws UnreachableError if a name has no addresses, or they cannot be found out
   */
  async list(): Promise<readonly Endpoint[]> {
    const { known } = this;
    const address = this.#address;
    if (known !== undefined || address.kind !== 'dns') return known ?? [];
    this.#resolving ??= this.#resolve(address).finally(() => {
      this.#resolving = undefined;
    });
    return this.#resolving;
  }

  /** An endpoint did not answer: the name may have moved. */
  refresh(): void {
    if (this.#resolved !== undefined) this.#resolved = { ...this.#resolved, untilMs: Number.NEGATIVE_INFINITY };
  }

  async #resolve(address: GitalyAddress & { kind: 'dns' }): Promise<readonly Endpoint[]> {
    try {
      const found = await this.#lookup(address.host, address.server);
      if (found.length === 0) throw new Error('no such host');
      const endpoints = found.map((host): Endpoint => ({ kind: 'tcp', host, port: address.port }));
      this.#resolved = { endpoints, untilMs: this.#clock.monotonicMs() + REFRESH_MS };
      return endpoints;
    } catch (error) {
      if (this.#resolved !== undefined) return this.#resolved.endpoints;
      const code = (error as NodeJS.ErrnoException).code ?? 'no such host';
      throw new UnreachableError(`dns: lookup ${address.host}: ${code === 'ENOTFOUND' ? 'no such host' : code}`);
    }
  }
}

async function lookupAddresses(host: string, server: string | undefined): Promise<readonly string[]> {
  if (server === undefined) return (await dns.lookup(host, { all: true })).map(({ address }) => address);
  const resolver = new Resolver({ timeout: 5000, tries: 3 });
  resolver.setServers([server]);
  const ask = (method: 'resolve4' | 'resolve6') =>
    new Promise<string[]>((resolve, reject) => {
      resolver[method](host, (error, found) => (error === null ? resolve(found) : reject(error)));
    });
  const [v4, v6] = await Promise.allSettled([ask('resolve4'), ask('resolve6')]);
  const found = [v4, v6].flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
  return found;
}

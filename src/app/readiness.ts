import type { Config } from '../config/config.ts';

/** A line for each thing: what is missing, and what there is to say of the others. */
export interface Health {
  readonly missing: readonly string[];
  readonly degraded: readonly string[];
}

/**
 * What must be so before traffic is sent here: names with what is still missing. And what is not as it should be, but can be
 * done without.
 */
export class Readiness {
  readonly #missing = new Map<string, string>();
  readonly #degraded = new Map<string, string>();
  #started = false;

  /** @param reason shown to whoever asks; undefined: nothing is missing (any more) */
  set(name: string, reason: string | undefined): void {
    if (reason === undefined) this.#missing.delete(name);
    else this.#missing.set(name, reason);
    this.#started ||= this.#missing.size === 0;
  }

  /** Whether nothing was missing at some time: what is missing now has gone since. */
  get started(): boolean {
    return this.#started;
  }

  /** @param reason shown to whoever asks, without keeping traffic away; undefined: all is well (again) */
  degrade(name: string, reason: string | undefined): void {
    if (reason === undefined) this.#degraded.delete(name);
    else this.#degraded.set(name, reason);
  }

  /** One line for each thing that traffic is served without; empty when there is nothing to say. */
  get degraded(): readonly string[] {
    return [...this.#degraded].map(([name, reason]) => `${name}: degraded: ${reason}`);
  }

  /** The same of the whole, for whoever asks on behalf of several. */
  get health(): Health {
    return { missing: this.missing, degraded: [...this.#degraded].map(([name, reason]) => `${name}: ${reason}`) };
  }

  /** One line for each thing that is missing; empty when ready. */
  get missing(): readonly string[] {
    return [...this.#missing].map(([name, reason]) => `${name}: ${reason}`);
  }
}

/** Has the probes name each listener that is not open yet, as upstream's do. */
export function expectListeners(readiness: Readiness, { agent, api, privateApi }: Config): void {
  const listeners = {
    agentServer: agent,
    apiServer: api,
    privateApiServer: privateApi,
    kubernetesApiServer: agent.kubernetesApi,
  };
  for (const [name, config] of Object.entries(listeners)) {
    if (config !== undefined) readiness.set(name, 'not ready yet');
  }
}

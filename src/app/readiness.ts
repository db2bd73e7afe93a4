import type { Config } from '../config/config.ts';

/** What must be so before traffic is sent here: names with what is still missing. */
export class Readiness {
  readonly #missing = new Map<string, string>();
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

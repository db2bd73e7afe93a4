import { Agent, type AgentOptions } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Endpoint } from './endpoint.ts';
import { type Asked, ask } from './http_client.ts';
import { delay } from './wait.ts';

/** What became of the requests of a load. */
export interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  /** Each request that got no answer, or another one than expected, in words. */
  readonly lost: readonly string[];
  /** The longest that a request took, in milliseconds. */
  readonly slowestMs: number;
}

export interface Load {
  /** So far. */
  readonly report: LoadReport;
  stop(): Promise<LoadReport>;
}

/**
 * Asks again and again on several connections that are kept open, each request after the answer to the one before.
 * @param expected what a good answer's body is
 */
export function startLoad(
  endpoint: Endpoint,
  asked: Asked,
  options: { readonly connections: number; readonly pauseMs: number; readonly expected: string },
): Load {
  const keptOpen: AgentOptions = { keepAlive: true, maxSockets: options.connections };
  const agent = endpoint.ca === undefined ? new Agent(keptOpen) : new HttpsAgent(keptOpen);
  const lost: string[] = [];
  let sent = 0;
  let answered = 0;
  let slowestMs = 0;
  let running = true;
  const one = async (): Promise<void> => {
    while (running) {
      const started = performance.now();
      sent++;
      try {
        const { status, text } = await ask(endpoint, { ...asked, agent });
        if (status === 200 && text === options.expected) answered++;
        else lost.push(`${status} ${text.slice(0, 200)}`);
      } catch (error) {
        lost.push(String(error));
      }
      slowestMs = Math.max(slowestMs, performance.now() - started);
      await delay(options.pauseMs);
    }
  };
  const all = Promise.all(Array.from({ length: options.connections }, one));
  const report = (): LoadReport => ({ sent, answered, lost, slowestMs: Math.round(slowestMs) });
  return {
    get report() {
      return report();
    },
    async stop() {
      running = false;
      await all;
      agent.destroy();
      return report();
    },
  };
}

/** One line for the scenario table of docs/reliability.md. */
export function reportLine(scenario: string, { sent, answered, lost, slowestMs }: LoadReport): string {
  return `${scenario}: ${sent} requests, ${answered} answered, ${lost.length} lost, slowest ${slowestMs} ms`;
}

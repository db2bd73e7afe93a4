import type { Config } from '../config/config.ts';
import type { Front } from '../net/front.ts';
import type { Log } from '../observability/log.ts';
import type { Scope } from '../runtime/scope.ts';

/** When the proxy is off there is no grace period in the file: upstream's default for it. */
const DEFAULT_SHUTDOWN_GRACE_MS = 3_600_000;

/** Of the time until what runs is cut, agents and clients are sent away in this part at most. */
const TELLING_PART = 1 / 3;

/** What a worker leaves with: requests that its siblings have taken may need its agents. */
interface LeavingWorker {
  /** The private API for the siblings. */
  readonly own: Front;
  /** Resolves when no sibling takes requests any more. */
  together(): Promise<void>;
}

/**
 * Leaves without dropping anything (docs/protocol/listeners.md, leaving): balancers get time to notice, and connections that they
 * keep for later end with their next answer; then nobody new is let in and agents are told to connect elsewhere, thousands of them one after
 * the other. Other nodes keep their way to those that have not been told. Requests that run may finish, up to the deadline, and what they were
 * counted as is reported.
 */
export async function drain(options: {
  config: Config;
  fronts: readonly Front[];
  /** That of `fronts` which other nodes use. */
  privateApi: Front | undefined;
  /** Set in a worker. */
  worker?: LeavingWorker | undefined;
  /** Leaves what this node knows of agents to those that they will go to. */
  handOver: () => Promise<void>;
  /** Tells other nodes that this one is leaving. */
  leave: () => void;
  /** Reports what was counted. */
  flush: () => Promise<void>;
  scope: Scope;
  log: Log;
}): Promise<void> {
  const { config, privateApi, worker, handOver, leave, flush, scope, log } = options;
  const entries = options.fronts;
  const fronts = worker === undefined ? entries : [...entries, worker.own];
  for (const front of fronts) front.retire();
  await Promise.all([scope.sleep(graceMs(config)), handOver()]);

  // What stands in the listeners' backlogs is accepted in the event loop's next turn, at whose end they close.
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all(entries.map((front) => front.stopAccepting()));
  if (worker !== undefined) {
    await worker.together();
    await worker.own.stopAccepting();
  }

  const deadlineMs = cutAfterMs(config);
  const finish = async () => {
    const tellingMs = deadlineMs * TELLING_PART;
    const ofNodes = new Set([privateApi, worker?.own]);
    await Promise.all(fronts.map((front) => (ofNodes.has(front) ? undefined : front.drain(tellingMs))));
    leave();
    await Promise.all([...ofNodes].map((front) => front?.drain(tellingMs)));
    await Promise.all(fronts.map((front) => front.whenIdle()));
  };
  const finished = await Promise.race([finish().then(() => true), scope.sleep(deadlineMs).then(() => false)]);
  if (!finished) log.warn('Shutdown grace period is over, cutting what still runs', { grace_period_ms: deadlineMs });
  for (const front of fronts) front.close();
  await flush();
}

/** How long `drain` may take, apart from its last reports. */
export function longestDrainMs(config: Config): number {
  return graceMs(config) + cutAfterMs(config);
}

/** How long all listeners go on, for balancers to notice. */
function graceMs({ agent, api, privateApi }: Config): number {
  const listens = [agent.listen, api?.listen, privateApi?.listen, agent.kubernetesApi?.listen];
  return Math.max(...listens.map((listen) => listen?.listenGracePeriodMs ?? 0));
}

/** When requests that are running are cut. */
function cutAfterMs({ agent }: Config): number {
  return agent.kubernetesApi?.listen.shutdownGracePeriodMs ?? DEFAULT_SHUTDOWN_GRACE_MS;
}

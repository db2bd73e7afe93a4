import type { ConnectedAgent } from './agent_directory.ts';

/**
 * Pods that an agent may have: when one more comes, the one that was heard of longest ago is forgotten. Each is kept for ten minutes, with
 * what it says of itself, and compared with each new one; agents have one to three.
 */
export const MAX_PODS_OF_AGENT = 200;

/** Whether both are of one pod, which then has started again in between. Pods without a name are all different. */
export function isSamePod({ agentMeta: a }: ConnectedAgent, { agentMeta: b }: ConnectedAgent): boolean {
  return a !== undefined && a.podName !== '' && a.podName === b?.podName && a.podNamespace === b.podNamespace;
}

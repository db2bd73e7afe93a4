import type { ConnectedAgent } from './agent_directory.ts';

/** Whether both are of one pod, which then has started again in between. Pods without a name are all different. */
export function isSamePod({ agentMeta: a }: ConnectedAgent, { agentMeta: b }: ConnectedAgent): boolean {
  return a !== undefined && a.podName !== '' && a.podName === b?.podName && a.podNamespace === b.podNamespace;
}

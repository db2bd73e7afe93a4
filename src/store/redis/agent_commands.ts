import type { AgentConnection, ConnectedAgent } from '../agent_directory.ts';
import { encodeExpiring } from './expiring_value.ts';
import type { Keys } from './keys.ts';
import type { Command } from './reply.ts';

/** Writes a pod to the hashes of its agent and of its project. */
export function writePod(keys: Keys, agent: ConnectedAgent, value: Buffer, lifeMs: number): Command[] {
  const field = String(agent.connectionId);
  return [keys.podsOfProject(agent.projectId), keys.podsOfAgent(agent.agentId)].flatMap((key): Command[] => [
    ['HSET', key, field, value],
    ['PEXPIRE', key, String(lifeMs)],
  ]);
}

/** Removes a pod from both. */
export function removePod(keys: Keys, { agentId, projectId, connectionId }: AgentConnection): Command[] {
  const field = String(connectionId);
  return [
    ['HDEL', keys.podsOfAgent(agentId), field],
    ['HDEL', keys.podsOfProject(projectId), field],
  ];
}

/** Counts agents among the connected ones: they share a hash, so that one command is enough for many. */
export function writeAgents(keys: Keys, agentIds: readonly bigint[], expiresAt: number, lifeMs: number): Command[] {
  const value = encodeExpiring(expiresAt);
  return [
    ['HSET', keys.connectedAgents, ...agentIds.flatMap((id) => [String(id), value])],
    ['PEXPIRE', keys.connectedAgents, String(lifeMs)],
  ];
}

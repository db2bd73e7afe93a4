import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AgentMetaSchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import type { ConnectedAgent } from '../agent_directory.ts';

/** A ConnectedAgent as it goes over a link: a message is no plain data, its bytes are. */
export interface WireAgent extends Omit<ConnectedAgent, 'agentMeta'> {
  readonly agentMeta: Uint8Array | undefined;
}

export function toWire(agent: ConnectedAgent): WireAgent {
  return { ...agent, agentMeta: agent.agentMeta && toBinary(AgentMetaSchema, agent.agentMeta) };
}

export function fromWire(agent: WireAgent): ConnectedAgent {
  return { ...agent, agentMeta: agent.agentMeta && fromBinary(AgentMetaSchema, agent.agentMeta) };
}

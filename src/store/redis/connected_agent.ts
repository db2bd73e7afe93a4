import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { ConnectedAgentInfoSchema } from '../../gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import type { ConnectedAgent } from '../agent_directory.ts';

export function encodePod(agent: ConnectedAgent): Buffer {
  const { agentMeta, connectedAtMs, connectionId, agentId, projectId } = agent;
  const info = create(ConnectedAgentInfoSchema, {
    ...(agentMeta !== undefined && { agentMeta }),
    connectedAt: timestampFromMs(connectedAtMs),
    connectionId,
    agentId,
    projectId,
  });
  return Buffer.from(toBinary(ConnectedAgentInfoSchema, info));
}

/** Undefined if the bytes are something else. */
export function decodePod(bytes: Uint8Array): ConnectedAgent | undefined {
  try {
    const { agentMeta, connectedAt, connectionId, agentId, projectId } = fromBinary(ConnectedAgentInfoSchema, bytes);
    if (agentId === 0n || connectedAt === undefined) return undefined;
    return { agentId, projectId, connectionId, agentMeta, connectedAtMs: timestampMs(connectedAt) };
  } catch {
    return undefined;
  }
}

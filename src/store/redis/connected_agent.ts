import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { ConnectedAgentInfoSchema } from '../../gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import type { ConnectedAgent } from '../agent_directory.ts';

/** From year 1 to year 9999. JSON has no other times: with one of those, whoever asks would hear of no agent at all. */
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59Z');

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
    const connectedAtMs = timestampMs(connectedAt);
    if (connectedAtMs < EARLIEST_MS || connectedAtMs > LATEST_MS) return undefined;
    return { agentId, projectId, connectionId, agentMeta, connectedAtMs };
  } catch {
    return undefined;
  }
}

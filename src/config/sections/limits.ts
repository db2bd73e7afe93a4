import type { LimitsConfig } from '../config.ts';
import { childPath } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { duration, size, uint32 } from '../schema/number.ts';
import { section } from '../schema/section.ts';

/** With less, identities with many groups and WebSocket tokens do not get through. */
const LEAST_HEADER_BYTES = 16 * 1024;
/** An agent's configuration has 128 KiB, a piece of a body 32 KiB, and wrappers around them. */
const LEAST_MESSAGE_BYTES = 256 * 1024;
/** Agents with a few hundred projects do not get along with less. */
const LEAST_REQUEST_BYTES = 16 * 1024;
/** Less than one flow-control window of HTTP/2 at its smallest, and nothing moves. */
const LEAST_IN_FLIGHT_BYTES = 64 * 1024;

const enoughToMove = (bytes: number): string | undefined =>
  bytes < LEAST_IN_FLIGHT_BYTES ? 'is less than 64KiB' : undefined;

export const limitsSection = section({
  doc: 'What is refused beyond: a bound for those who do harm, out of reach for others. The metric `gitlab_kas_limit_exceeded_total` counts what was refused.',
  keys: {
    connections_per_listener: uint32({
      doc: 'Open connections; the next one is closed. All listeners together get by with the file descriptors that the process may have.',
      default: 16_000,
    }),
    // Thousands of agents whose node is gone come within a second, and say who they are only when they have read our SETTINGS.
    unauthenticated_connections_per_listener: uint32({
      doc: 'Of these, connections on which nobody has shown a credential yet.',
      default: 8000,
    }),
    unauthenticated_time: duration({
      doc: 'A connection on which no good credential was shown for so long is closed.',
      default: '30s',
    }),
    streams_per_connection: uint32({
      doc: 'Open streams of one HTTP/2 connection; an agent holds as many tunnels as it has, and serves, requests.',
      default: 10_000,
    }),
    header_bytes: size({
      doc: 'Header lines of one request, together.',
      default: '1MiB',
      rule: (bytes) => (bytes < LEAST_HEADER_BYTES ? 'is less than 16KiB' : undefined),
    }),
    message_bytes: size({
      doc: 'One gRPC message, decompressed. Not less than what agents and GitLab send; GitLab’s own server has the default.',
      default: '4MiB',
      rule: (bytes) => (bytes < LEAST_MESSAGE_BYTES ? 'is less than 256KiB' : undefined),
    }),
    request_bytes: size({
      doc: 'What an agent asks with, and what it says of a tunnel: one message that is kept as long as its call runs. The longest names the projects whose pushes Flux is to hear of.',
      default: '128KiB',
      rule: (bytes) => (bytes < LEAST_REQUEST_BYTES ? 'is less than 16KiB' : undefined),
    }),
    bytes_in_flight_per_tunnel: size({
      doc: 'What may wait in memory, for whoever reads slowly, of one request through a tunnel; whoever sends more has to wait.',
      default: '4MiB',
      rule: enoughToMove,
    }),
    bytes_in_flight_per_agent_connection: size({
      doc: 'The same for all streams of one agent connection.',
      default: '16MiB',
      rule: enoughToMove,
    }),
    bytes_in_flight: size({
      doc: 'The same for the whole process, each worker by itself.',
      default: '64MiB',
      rule: enoughToMove,
    }),
    requests_per_user: uint32({
      doc: 'Requests of one user through the Kubernetes API proxy at a time, watches among them; the next one gets 429 with `Retry-After`.',
      default: 2000,
    }),
    waiting_requests_per_agent: uint32({
      doc: 'Requests that wait for a connection of one agent; the next one gets 503 with `Retry-After`.',
      default: 1000,
    }),
    waiting_requests: uint32({ doc: 'The same for all agents together.', default: 10_000 }),
  },
  check(limits, path, report) {
    for (const [part, whole] of [
      ['waiting_requests_per_agent', 'waiting_requests'],
      ['bytes_in_flight_per_agent_connection', 'bytes_in_flight'],
    ] as const) {
      if (limits[part] > limits[whole]) report.problem(childPath(path, part), `must not be more than ${whole}`);
    }
  },
});

export function buildLimits(section: Value<typeof limitsSection>): LimitsConfig {
  return {
    connectionsPerListener: section.connections_per_listener,
    unauthenticatedConnectionsPerListener: section.unauthenticated_connections_per_listener,
    unauthenticatedTimeMs: section.unauthenticated_time,
    streamsPerConnection: section.streams_per_connection,
    headerBytes: section.header_bytes,
    messageBytes: section.message_bytes,
    requestBytes: section.request_bytes,
    bytesInFlightPerTunnel: section.bytes_in_flight_per_tunnel,
    bytesInFlightPerAgentConnection: section.bytes_in_flight_per_agent_connection,
    bytesInFlight: section.bytes_in_flight,
    requestsPerUser: section.requests_per_user,
    waitingRequestsPerAgent: section.waiting_requests_per_agent,
    waitingRequests: section.waiting_requests,
  };
}

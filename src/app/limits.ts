import type { LimitsConfig } from '../config/config.ts';
import type { Limits } from '../observability/limits.ts';
import { WaitingRoom } from '../routing/waiting_room.ts';

/** Where requests wait for a tunnel, as large as configured. */
export function createWaitingRoom(config: LimitsConfig, limits: Limits): WaitingRoom {
  const { waitingRequestsPerAgent: perAgent, waitingRequests: inAll } = config;
  const hit = (name: 'waiting_requests_per_agent' | 'waiting_requests', max: number) =>
    limits.hit(name, 'server', `server.limits.${name}`, max);
  return new WaitingRoom({
    perAgent,
    inAll,
    agentFull: hit('waiting_requests_per_agent', perAgent),
    full: hit('waiting_requests', inAll),
  });
}

import type { LimitsConfig } from '../config.ts';
import { childPath } from '../problem.ts';
import type { Value } from '../schema/field.ts';
import { uint32 } from '../schema/number.ts';
import { section } from '../schema/section.ts';

export const limitsSection = section({
  doc: 'What is refused beyond: a bound for those who do harm, out of reach for others. The metric `gitlab_kas_limit_exceeded_total` counts what was refused.',
  keys: {
    waiting_requests_per_agent: uint32({
      doc: 'Requests that wait for a connection of one agent; the next one gets 503 with `Retry-After`.',
      default: 1000,
    }),
    waiting_requests: uint32({ doc: 'The same for all agents together.', default: 10_000 }),
  },
  check({ waiting_requests_per_agent: perAgent, waiting_requests: inAll }, path, report) {
    if (perAgent > inAll) {
      report.problem(childPath(path, 'waiting_requests_per_agent'), 'must not be more than waiting_requests');
    }
  },
});

export function buildLimits(section: Value<typeof limitsSection>): LimitsConfig {
  return {
    waitingRequestsPerAgent: section.waiting_requests_per_agent,
    waitingRequests: section.waiting_requests,
  };
}

import { readNoContent } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions, Usage } from '../client.ts';
import { plainJson } from '../plain_json.ts';

const PATH = '/api/v4/internal/kubernetes/usage_metrics';

/** Reports counters (docs/protocol/usage.md). Never repeated: what was not taken is part of the next report. */
export async function reportUsage(api: ApiCaller, usage: Usage, options: CallOptions): Promise<void> {
  const { counters, uniqueCounters } = usage;
  const members = {
    ...(counters.size > 0 && { counters }),
    ...(uniqueCounters.size > 0 && { unique_counters: uniqueCounters }),
  };
  const headers = { 'Content-Type': 'application/json' };
  const body = Buffer.from(plainJson(members));
  const response = await api.call({ method: 'POST', path: PATH, headers, body, retry: false }, options);
  readNoContent(response, PATH, api.clock);
}

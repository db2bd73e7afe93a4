import type { JsonObject } from '@bufbuild/protobuf';
import { readNoContent } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions } from '../client.ts';

const PATH = '/api/v4/internal/kubernetes/agent_configuration';

/**
 * Tells GitLab what an agent's configuration file says; from it GitLab knows whom the agent serves.
 * @param configuration the whole file as JSON: GitLab may know keys that we do not
 */
export async function postAgentConfiguration(
  api: ApiCaller,
  agentId: bigint,
  configuration: JsonObject,
  options: CallOptions,
): Promise<void> {
  // As text, which is protobuf's JSON for 64 bits.
  const body = Buffer.from(JSON.stringify({ agent_id: String(agentId), agent_config: configuration }));
  const headers = { 'Content-Type': 'application/json' };
  const response = await api.call({ method: 'POST', path: PATH, headers, body, retry: true }, options);
  readNoContent(response, PATH, api.clock);
}

import { type GetAgentInfoResponse, GetAgentInfoResponseSchema } from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { Clock } from '../../runtime/clock.ts';
import { agentTokenHeaders } from '../agent_token_headers.ts';
import { readAnswer } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions } from '../client.ts';
import { validateGitalyInfo, validateGitalyRepository } from '../gitaly_validation.ts';
import { GitLabError } from '../gitlab_error.ts';
import { Validator, type Violations } from '../validation.ts';

const PATH = '/api/v4/internal/agents/agentk/agent_info';
/** GitLab before 18.2 knows only this one, today's GitLab only the other (docs/protocol/gitlab.md#agent_info). */
const OLD_PATH = '/api/v4/internal/kubernetes/agent_info';
/** Not for ever: GitLab may be upgraded under a running server. */
const REMEMBER_OLD_PATH_MS = 5 * 60_000;

/** Asks who an agent is, wherever this GitLab wants to be asked. Never repeated: agents repeat by themselves. */
export class AgentInfoEndpoint {
  readonly #api: ApiCaller;
  readonly #clock: Clock;
  #oldPathUntilMs = Number.NEGATIVE_INFINITY;

  constructor(api: ApiCaller) {
    this.#api = api;
    this.#clock = api.clock;
  }

  async get(agentToken: string, options: CallOptions): Promise<GetAgentInfoResponse> {
    if (this.#clock.monotonicMs() < this.#oldPathUntilMs) {
      const answer = await this.#getUnless404(OLD_PATH, agentToken, options);
      if (answer !== undefined) return answer;
      this.#oldPathUntilMs = Number.NEGATIVE_INFINITY; // upgraded
    }
    const answer = await this.#getUnless404(PATH, agentToken, options);
    if (answer !== undefined) return answer;
    // An unknown token gets 401, so it is the path that was not found. That the old one exists shows in any other answer.
    try {
      const old = await this.#ask(OLD_PATH, agentToken, options);
      this.#rememberOldPath();
      return old;
    } catch (error) {
      if (error instanceof GitLabError && error.status !== 404 && error.status < 500) this.#rememberOldPath();
      throw error;
    }
  }

  #rememberOldPath(): void {
    this.#oldPathUntilMs = this.#clock.monotonicMs() + REMEMBER_OLD_PATH_MS;
  }

  async #getUnless404(
    path: string,
    agentToken: string,
    options: CallOptions,
  ): Promise<GetAgentInfoResponse | undefined> {
    try {
      return await this.#ask(path, agentToken, options);
    } catch (error) {
      if (error instanceof GitLabError && error.status === 404) return undefined;
      throw error;
    }
  }

  async #ask(path: string, agentToken: string, options: CallOptions): Promise<GetAgentInfoResponse> {
    const headers = { Accept: 'application/json', ...agentTokenHeaders(path, agentToken) };
    const response = await this.#api.call({ method: 'GET', path, headers, retry: false }, options);
    const expected = { schema: GetAgentInfoResponseSchema, validate };
    return readAnswer(response, path, expected, options.signal, this.#clock);
  }
}

function validate(answer: GetAgentInfoResponse): Violations {
  return new Validator('GetAgentInfoResponse')
    .positive('ProjectId', answer.projectId)
    .positive('AgentId', answer.agentId)
    .notEmpty('AgentName', answer.agentName)
    .required('GitalyInfo', answer.gitalyInfo, validateGitalyInfo)
    .required('GitalyRepository', answer.gitalyRepository, validateGitalyRepository)
    .notEmpty('DefaultBranch', answer.defaultBranch).violations;
}

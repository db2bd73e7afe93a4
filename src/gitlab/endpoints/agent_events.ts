import { isJson, readNoContent } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { AgentEvents, CallOptions } from '../client.ts';
import { GitLabError } from '../gitlab_error.ts';
import { plainJson } from '../plain_json.ts';

const PATH = '/api/v4/internal/kubernetes/agent_events';
/** Not for ever: GitLab may be upgraded under a running server. */
const REMEMBER_UNKNOWN_MS = 60 * 60_000;

/** Reports events (docs/protocol/usage.md). Never repeated: what was not taken is part of the next report. */
export class AgentEventsEndpoint {
  readonly #api: ApiCaller;
  #unknownUntilMs = Number.NEGATIVE_INFINITY;

  constructor(api: ApiCaller) {
    this.#api = api;
  }

  /** False: this GitLab is too old to know what events are; it is not asked again for an hour. */
  async report(events: AgentEvents, options: CallOptions): Promise<boolean> {
    const { clock } = this.#api;
    if (clock.monotonicMs() < this.#unknownUntilMs) return false;
    const headers = { 'Content-Type': 'application/json' };
    const body = Buffer.from(plainJson({ events }));
    const response = await this.#api.call({ method: 'POST', path: PATH, headers, body, retry: false }, options);
    try {
      readNoContent(response, PATH, clock);
      return true;
    } catch (error) {
      if (!(error instanceof GitLabError && error.status === 404)) throw error;
      // Whoever stands in front of GitLab while it is away may say 404 too, but not in GitLab's way.
      if (!isJson(response.headers['content-type'])) throw error;
      this.#unknownUntilMs = clock.monotonicMs() + REMEMBER_UNKNOWN_MS;
      return false;
    }
  }
}

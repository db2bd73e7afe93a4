import type { StandaloneAgent } from '../config/config.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { AgentAuthenticator, AgentInfo } from './agent_authenticator.ts';
import { TokenTable } from './token_table.ts';

/** Knows the agents of the `standalone` section. */
export class StandaloneAgentAuthenticator implements AgentAuthenticator {
  readonly #agents: TokenTable<AgentInfo>;

  constructor(agents: readonly StandaloneAgent[]) {
    this.#agents = new TokenTable(agents.map((agent) => [agent.tokenSha256, agentInfoOf(agent)]));
  }

  /** Undefined for unknown tokens too: `authenticate` says so at once. */
  peek(token: string): AgentInfo | undefined {
    return this.#agents.find(token);
  }

  authenticate(token: string): Promise<AgentInfo> {
    const agent = this.#agents.find(token);
    return agent === undefined
      ? Promise.reject(new AppError(StatusCode.Unauthenticated, 'unauthenticated'))
      : Promise.resolve(agent);
  }
}

function agentInfoOf(agent: StandaloneAgent): AgentInfo {
  return { id: agent.id, projectId: agent.id, name: agent.name, projectPath: agent.name, repository: undefined };
}

import type { AgentAuthenticator, AgentInfo } from '../../../src/auth/agent_authenticator.ts';
import type { CallOptions } from '../../../src/gitlab/client.ts';

export const agentInfo: AgentInfo = {
  id: 42n,
  projectId: 7n,
  name: 'test-agent',
  projectPath: 'group/project',
  repository: undefined,
};

/** Knows agents by what the test lets come out of each question, in turn. */
export class ScriptedAgents implements AgentAuthenticator {
  /** What `peek` finds. */
  known: AgentInfo | undefined;
  readonly asked: { token: string; signal: AbortSignal; correlationId: string | undefined }[] = [];
  readonly #outcomes: (AgentInfo | Error | 'never')[];

  /** The last outcome is repeated. */
  constructor(...outcomes: (AgentInfo | Error | 'never')[]) {
    this.#outcomes = outcomes;
  }

  peek(): AgentInfo | undefined {
    return this.known;
  }

  authenticate(token: string, { signal, correlationId }: CallOptions): Promise<AgentInfo> {
    this.asked.push({ token, signal, correlationId });
    const outcome = this.#outcomes[Math.min(this.asked.length, this.#outcomes.length) - 1];
    if (outcome instanceof Error) return Promise.reject(outcome);
    if (outcome !== 'never' && outcome !== undefined) return Promise.resolve(outcome);
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  }
}

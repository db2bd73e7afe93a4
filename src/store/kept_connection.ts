import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Scope } from '../runtime/scope.ts';
import type { AgentDirectory, ConnectedAgent } from './agent_directory.ts';

/**
 * Registers an agent for as long as `scope` is open: agents before 16.5 do not register by themselves, so their
 * configuration stream stands for them. A store in trouble is the log's to tell, not the agent's.
 *
 * @param agent its `connectedAtMs` stays what it is
 * @param ttlMs how long a registration counts; it is renewed when four fifths of that have passed
 */
export function keepRegistered(
  deps: { readonly directory: AgentDirectory; readonly ttlMs: number; readonly scope: Scope; readonly log: Log },
  agent: ConnectedAgent,
): void {
  const { directory, ttlMs, scope, log } = deps;
  const failed = (message: string) => (error: unknown) =>
    log.error(message, { agent_id: agent.agentId, error: errorText(error) });
  const renew = () => {
    directory.register(agent, ttlMs).catch(failed('Failed to register agent'));
    scope.timeout((ttlMs * 4) / 5, renew);
  };
  renew();
  scope.own({ close: () => void directory.unregister(agent).catch(failed('Failed to unregister agent')) });
}

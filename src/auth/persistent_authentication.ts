import type { ServerCall } from '../grpc/server_call.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { AgentAuthenticator, AgentInfo } from './agent_authenticator.ts';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;

/**
 * Finds out who the agent is for a call that may take long: as long as GitLab cannot be asked, it tries again, because an
 * agent that is turned away backs off for longer than GitLab is usually away.
 * @returns undefined when the call is over, or its connection has reached its age, before the answer came
 * @throws AppError if the token is refused
 */
export async function authenticatePersistently(
  agents: AgentAuthenticator,
  token: string,
  call: ServerCall,
): Promise<AgentInfo | undefined> {
  const known = agents.peek(token);
  if (known !== undefined) return known;
  const { session } = call;
  const waiting = session.scope.child();
  const stopWaitingForAge = session.onAge(() => waiting.close());
  call.onOver(() => waiting.close());
  try {
    for (let delayMs = FIRST_RETRY_MS; !waiting.closed; delayMs = Math.min(LAST_RETRY_MS, 2 * delayMs)) {
      try {
        return await agents.authenticate(token, { ...call.onBehalf(waiting.signal), method: call.path });
      } catch (error) {
        if (waiting.closed) return undefined;
        if (!(error instanceof AppError) || error.code !== StatusCode.Unavailable) throw error;
      }
      await waiting.sleep(delayMs);
    }
    return undefined;
  } finally {
    stopWaitingForAge();
    call.onOver(() => {});
    waiting.close();
  }
}

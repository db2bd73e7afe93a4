import type { CallSession, ServerCall } from '../grpc/server_call.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { AgentAuthenticator } from './agent_authenticator.ts';

/** What is known of the token that a connection shows. */
type Knowledge = 'asking' | 'nobody could say' | 'refused';

/**
 * Tells connections on which an agent is known from those of strangers, who may not stay (docs/security.md). Costs nothing on
 * top of the calls: they ask the same, and questions that are alike are asked once.
 */
export class AgentProof {
  readonly #agents: AgentAuthenticator;
  readonly #sessions = new WeakMap<CallSession, Knowledge>();

  constructor(agents: AgentAuthenticator) {
    this.#agents = agents;
  }

  /** A call with `token` has come on the connection, and its token has not come too often. */
  look(call: ServerCall, token: string): void {
    const { session } = call;
    if (session.known) return;
    if (this.#agents.peek(token) !== undefined) {
      session.prove();
      return;
    }
    if (this.#sessions.get(session) === 'asking') return;
    const ask = () => this.#ask(call, token);
    ask();
    session.show(() => this.#plead(session, ask));
  }

  /** While GitLab is away nobody is turned away: agents would come back much later than GitLab. */
  #plead(session: CallSession, ask: () => void): boolean {
    if (this.#sessions.get(session) === 'nobody could say') ask();
    return this.#sessions.get(session) !== 'refused';
  }

  #ask(call: ServerCall, token: string): void {
    const { session } = call;
    this.#sessions.set(session, 'asking');
    const asked = session.scope.during((signal) =>
      this.#agents.authenticate(token, { ...call.onBehalf(signal), method: call.path }),
    );
    asked.then(
      () => {
        this.#sessions.delete(session);
        session.prove();
      },
      (error: unknown) => this.#sessions.set(session, isRefusal(error) ? 'refused' : 'nobody could say'),
    );
  }
}

function isRefusal(error: unknown): boolean {
  return (
    error instanceof AppError &&
    (error.code === StatusCode.Unauthenticated ||
      error.code === StatusCode.PermissionDenied ||
      error.code === StatusCode.NotFound)
  );
}

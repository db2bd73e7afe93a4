import { endWithDefect, type Method } from '../grpc/server.ts';
import type { ServerCall } from '../grpc/server_call.ts';
import type { Log } from '../observability/log.ts';
import type { AgentProof } from './agent_proof.ts';
import { bearerToken } from './bearer_token.ts';
import type { ConnectionLimit } from './connection_limit.ts';

/** A method of the agent API: like any other, but whoever calls it has shown a token. */
export interface AgentMethod {
  /** Full method with leading slash. */
  readonly path: string;
  /**
   * The token is not verified yet: that costs a question to GitLab, which the method asks if it needs to know the agent.
   * What the returned promise rejects with becomes the call's status.
   */
  handle(call: ServerCall, token: string): Promise<void> | void;
}

/**
 * Makes a method of the gRPC server out of an agent method: extracts the token and counts the connection
 * (docs/protocol/authentication.md). A call of a connection that has been let in before waits for nothing.
 */
export function authenticated(
  method: AgentMethod,
  { limit, proof, log }: { limit: ConnectionLimit; proof: AgentProof; log: Log },
): Method {
  const handle = (call: ServerCall, token: string) => {
    proof.look(call, token);
    return method.handle(call, token);
  };
  return {
    path: method.path,
    handle(call) {
      const token = bearerToken(call.metadata('authorization'));
      const admission = limit.admit(call.session, token, call.path);
      const handled = admission === undefined ? handle(call, token) : admission.then(() => handle(call, token));
      handled?.catch((error: unknown) => endWithDefect(call, error, log));
    },
  };
}

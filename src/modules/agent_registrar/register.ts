import { create, type MessageShape } from '@bufbuild/protobuf';
import type { AgentAuthenticator } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
  UnregisterRequestSchema,
  UnregisterResponseSchema,
} from '../../gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { oneRequest, respond } from '../../grpc/one_request.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { AgentConnection, AgentDirectory } from '../../store/agent_directory.ts';
import type { UsageCounters } from '../../store/usage_counters.ts';
import { registerEvent } from './register_event.ts';

interface RegistrarDeps {
  readonly agents: AgentAuthenticator;
  readonly directory: AgentDirectory;
  /** How often agents repeat their registration, at the least; one that is late once still counts. */
  readonly ttlMs: number;
  readonly usage: UsageCounters;
  readonly clock: Clock;
  readonly log: Log;
}

/** AgentRegistrar: agent pods say that they are there, and when they go (docs/protocol/agent_registrar.md). */
export function createAgentRegistrar(deps: RegistrarDeps): readonly AgentMethod[] {
  const { directory, ttlMs, usage, clock } = deps;
  return [
    {
      path: '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register',
      async handle(call, token) {
        const request = await oneRequest(call, RegisterRequestSchema);
        if (request === undefined) return;
        const { agentMeta } = request;
        await change(deps, call, token, request, 'Failed to register agent', (connection) => {
          usage.addEvent('register_agent_at_kas', registerEvent(connection, agentMeta));
          return directory.register({ ...connection, agentMeta, connectedAtMs: clock.wallMs() }, 2 * ttlMs);
        });
        respond(call, RegisterResponseSchema, create(RegisterResponseSchema));
      },
    },
    {
      path: '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Unregister',
      async handle(call, token) {
        const request = await oneRequest(call, UnregisterRequestSchema);
        if (request === undefined) return;
        await change(deps, call, token, request, 'Failed to unregister agent', (connection) =>
          directory.unregister(connection),
        );
        respond(call, UnregisterResponseSchema, create(UnregisterResponseSchema));
      },
    },
  ];
}

type Request = MessageShape<typeof RegisterRequestSchema> | MessageShape<typeof UnregisterRequestSchema>;

async function change(
  { agents, log }: RegistrarDeps,
  call: ServerCall,
  token: string,
  request: Request,
  failure: string,
  apply: (connection: AgentConnection) => Promise<void>,
): Promise<void> {
  const { id: agentId, projectId } =
    agents.peek(token) ??
    (await call.session.scope.during((signal) =>
      agents.authenticate(token, { ...call.onBehalf(signal), method: call.path }),
    ));
  try {
    await apply({ agentId, projectId, connectionId: request.podId });
  } catch (error) {
    log.error(failure, { agent_id: agentId, error: errorText(error), hint: Hint.store, ...call.trail() });
    throw new AppError(StatusCode.Unavailable, failure, { cause: error });
  }
}

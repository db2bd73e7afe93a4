import type { AgentAuthenticator } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { authenticatePersistently } from '../../auth/persistent_authentication.ts';
import { OK } from '../../grpc/status.ts';
import { Tunnel, type TunnelKeeper } from '../../tunnel/tunnel.ts';

/** ReverseTunnel/Connect: each call of an agent is one tunnel (docs/protocol/tunnel.md). */
export function createConnect(deps: { agents: AgentAuthenticator; tunnels: TunnelKeeper }): AgentMethod {
  const { agents, tunnels } = deps;
  return {
    path: '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect',
    handle(call, token) {
      const known = agents.peek(token);
      if (known !== undefined) {
        new Tunnel(call, known.id, tunnels);
        return;
      }
      return authenticatePersistently(agents, token, call).then((agent) => {
        if (agent === undefined) call.end(OK);
        else new Tunnel(call, agent.id, tunnels);
      });
    },
  };
}

/**
 * Whether `path` is Connect under another package: GitLab's agent has moved the code more than once, and a newer agent may
 * have moved the name on the wire with it.
 */
export function isConnect(path: string): boolean {
  return /^\/gitlab\.agent\.[\w.]*ReverseTunnel\/Connect$/.test(path);
}

import type { AgentCaller, Call, CallSink } from '../grpc/call.ts';
import type { Log } from '../observability/log.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { TunnelRegistry } from '../tunnel/registry.ts';
import { WaitingCall } from './waiting_call.ts';

/** How long a request waits for a tunnel (docs/protocol/routing.md). */
const FIND_TUNNEL_MS = 20_000;

export interface RouterOptions {
  readonly tunnels: TunnelRegistry;
  readonly scope: Scope;
  readonly log: Log;
}

/** Finds the tunnel that a call to an agent takes: one of this node at once, or the first that appears. */
export class Router implements AgentCaller {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  open(agentId: bigint, method: string, sink: CallSink): Call {
    const { tunnels, scope, log } = this.#options;
    const tunnel = tunnels.take(agentId, method);
    if (tunnel !== undefined) return tunnel.open(method, sink);

    const call = new WaitingCall(sink, () => {
      waiter.cancel();
      timer.stop();
    });
    const waiter = tunnels.wait(agentId, method, (found) => call.connect(found.open(method, sink)));
    const timer = scope.timeout(FIND_TUNNEL_MS, () => {
      log.error('Agent connection not found', { agent_id: agentId, error: 'context deadline exceeded' });
      call.fail({
        code: StatusCode.DeadlineExceeded,
        message: 'Agent connection not found. Is agent up to date and connected?',
      });
    });
    return call;
  }
}

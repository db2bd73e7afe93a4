import type { AgentCaller, Call, CallContext, CallSink } from '../grpc/call.ts';
import { OVERLOADED } from '../grpc/status.ts';
import type { Log } from '../observability/log.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { TunnelRegistry } from '../tunnel/registry.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { TracedCall } from './traced_call.ts';
import { WaitingCall } from './waiting_call.ts';
import type { WaitingRoom } from './waiting_room.ts';

/** How long a request waits for a tunnel (docs/protocol/routing.md). */
const FIND_TUNNEL_MS = 20_000;

export interface RouterOptions {
  readonly tunnels: TunnelRegistry;
  readonly waitingRoom: WaitingRoom;
  readonly scope: Scope;
  readonly log: Log;
}

/** Finds the tunnel that a call to an agent takes: one of this node at once, or the first that appears. */
export class Router implements AgentCaller {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  open(agentId: bigint, method: string, sink: CallSink, context: CallContext = {}): Call {
    const { tunnels, waitingRoom, scope, log } = this.#options;
    const finding = context.span?.child('routing', 'internal', { agent_id: Number(agentId) });
    const tunnel = tunnels.take(agentId, method);
    if (tunnel !== undefined) {
      finding?.end();
      return openThrough(tunnel, method, sink, context);
    }

    if (!waitingRoom.enter(agentId)) {
      finding?.end('too many wait');
      const refused = new WaitingCall(sink, () => {});
      queueMicrotask(() => refused.fail(OVERLOADED)); // not before the caller has its call
      return refused;
    }
    let outcome: string | undefined = 'given up by the caller';
    const call = new WaitingCall(sink, () => {
      waitingRoom.leave(agentId);
      waiter.cancel();
      timer.stop();
      finding?.end(outcome);
    });
    const waiter = tunnels.wait(agentId, method, (found) => {
      outcome = undefined;
      call.connect(openThrough(found, method, sink, context));
    });
    const timer = scope.timeout(FIND_TUNNEL_MS, () => {
      outcome = 'Agent connection not found';
      log.error(outcome, {
        agent_id: agentId,
        error: 'context deadline exceeded',
        correlation_id: context.correlationId?.(),
      });
      call.fail({
        code: StatusCode.DeadlineExceeded,
        message: 'Agent connection not found. Is agent up to date and connected?',
      });
    });
    return call;
  }
}

function openThrough(tunnel: Tunnel, method: string, sink: CallSink, { span }: CallContext): Call {
  if (span === undefined) return tunnel.open(method, sink);
  return new TracedCall(span.child('tunnel', 'client', { 'rpc.method': method.slice(1) }), sink, (traced) =>
    tunnel.open(method, traced),
  );
}

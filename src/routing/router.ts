import type { AgentCaller, Call, CallContext, CallSink } from '../grpc/call.ts';
import { OVERLOADED } from '../grpc/status.ts';
import { openThrough, TunnelSearch, type TunnelSearchOptions } from './tunnel_search.ts';
import { WaitingCall } from './waiting_call.ts';
import type { WaitingRoom } from './waiting_room.ts';

export interface RouterOptions extends TunnelSearchOptions {
  readonly waitingRoom: WaitingRoom;
}

/** Finds the tunnel that a call to an agent takes: one of this node at once, or the first that appears anywhere. */
export class Router implements AgentCaller {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  open(agentId: bigint, method: string, sink: CallSink, context: CallContext = {}): Call {
    const { tunnels, waitingRoom, metrics } = this.#options;
    const tunnel = tunnels.take(agentId, method);
    if (tunnel !== undefined) {
      metrics.found(0);
      context.routed?.('local');
      if (context.span === undefined) return tunnel.open(method, sink);
      context.span.child('routing', 'internal', { agent_id: Number(agentId) }).end();
      return openThrough(tunnel, method, sink, context);
    }
    const finding = context.span?.child('routing', 'internal', { agent_id: Number(agentId) });
    if (!waitingRoom.enter(agentId)) {
      finding?.end('too many wait');
      const refused = new WaitingCall(sink, () => {});
      queueMicrotask(() => refused.fail(OVERLOADED)); // not before the caller has its call
      return refused;
    }
    const search = new TunnelSearch(this.#options, { agentId, method, sink, context }, (outcome) => {
      waitingRoom.leave(agentId);
      finding?.end(outcome);
    });
    return search.call;
  }
}

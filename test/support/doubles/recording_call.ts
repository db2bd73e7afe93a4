import type { AgentCaller, Call, CallSink } from '../../../src/grpc/call.ts';
import type { GrpcStatus } from '../../../src/grpc/status.ts';

/** A call that goes nowhere: what is done to it is written down, and the test plays the agent through the sink. */
export class RecordingCall implements Call {
  readonly done: string[] = [];
  readonly messages: Uint8Array[] = [];
  /** What `write` returns. */
  ready = true;
  paused = false;
  cancelled: GrpcStatus | undefined;
  #drain: (() => void) | undefined;

  write(message: Uint8Array, more = false): boolean {
    this.messages.push(message);
    this.done.push(more ? 'write, more' : 'write');
    return this.ready;
  }

  onDrain(f: () => void): void {
    this.#drain = f;
  }

  pause(): void {
    this.done.push('pause');
    this.paused = true;
  }

  resume(): void {
    this.done.push('resume');
    this.paused = false;
  }

  halfClose(): void {
    this.done.push('halfClose');
  }

  cancel(status: GrpcStatus): void {
    this.done.push(`cancel ${status.code} ${status.message}`);
    this.cancelled = status;
  }

  /** The agent is ready for more. */
  drain(): void {
    this.ready = true;
    this.#drain?.();
  }
}

/** Opens recording calls. */
export class RecordingCaller implements AgentCaller {
  readonly opened: { agentId: bigint; method: string; sink: CallSink; call: RecordingCall }[] = [];

  open(agentId: bigint, method: string, sink: CallSink): Call {
    const call = new RecordingCall();
    this.opened.push({ agentId, method, sink, call });
    return call;
  }
}

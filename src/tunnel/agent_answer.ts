import { Automaton, END_OF_STREAM } from '../grpc/automaton.ts';
import type { CallSink } from '../grpc/call.ts';
import { wrappedData } from '../grpc/protobuf_wire.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { decodeError, decodeMetadata } from './agent_messages.ts';

/**
 * The parts of an agent's answer. An agent says them in ConnectRequest, and a node that has its tunnel says them to another node
 * in GatewayKasResponse, under the same numbers (docs/protocol/routing.md, between nodes).
 */
export const AnswerPart = { header: 2, message: 3, trailer: 4, error: 5 } as const;

/** What comes before the answer: the agent's descriptor, or the node's tunnel_ready. */
const BEFORE = 1;

/** What may follow what (docs/protocol/tunnel.md, order of messages). */
const order = new Automaton({
  [BEFORE]: [AnswerPart.header, AnswerPart.error],
  [AnswerPart.header]: [AnswerPart.message, AnswerPart.trailer],
  [AnswerPart.message]: [AnswerPart.message, AnswerPart.trailer],
  [AnswerPart.trailer]: [END_OF_STREAM, AnswerPart.error],
  [AnswerPart.error]: [END_OF_STREAM],
});

/** Why `part` may not come before anything else of an answer; undefined if it may. */
export function refuseFirst(part: number): string | undefined {
  return order.refuse(BEFORE, part);
}

/** What becomes of an agent's answer to a call. */
export interface Answer {
  /**
   * The part of the answer that stands in `message` from `start` to `end`.
   * @throws AppError InvalidArgument if it may not come now or lacks what it must have, MalformedMessage
   */
  take(part: number, message: Buffer, start: number, end: number): void;
  /** Why the answer may not end here; undefined if it may. */
  readonly refusal: string | undefined;
  /** The answer is complete. */
  end(): void;
  /** The rest of it will never come. */
  fail(status: GrpcStatus): void;
}

/** Opens an answer for who wants to know what is in it. */
export class AgentAnswer implements Answer {
  readonly #sink: CallSink;
  #received: number = BEFORE;
  #outcome: GrpcStatus = OK;

  constructor(sink: CallSink) {
    this.#sink = sink;
  }

  take(part: number, message: Buffer, start: number, end: number): void {
    const refusal = order.refuse(this.#received, part);
    if (refusal !== undefined) throw new AppError(StatusCode.InvalidArgument, refusal);
    this.#received = part;
    switch (part) {
      case AnswerPart.message:
        this.#sink.message(wrappedData(message, start, end));
        break;
      case AnswerPart.header:
        this.#sink.header?.(decodeMetadata(message.subarray(start, end)));
        break;
      case AnswerPart.trailer:
        this.#sink.trailer?.(decodeMetadata(message.subarray(start, end)));
        break;
      case AnswerPart.error:
        this.#outcome = decodeError(message.subarray(start, end));
        break;
    }
  }

  get refusal(): string | undefined {
    return order.refuse(this.#received, END_OF_STREAM);
  }

  end(): void {
    this.#sink.end(this.#outcome);
  }

  fail(status: GrpcStatus): void {
    this.#sink.end(status);
  }
}

import type { FrameSink } from '../grpc/call.ts';
import { frameOf } from '../grpc/frame.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { type Answer, AnswerPart, refuseFirst } from './agent_answer.ts';
import { decodeError } from './agent_messages.ts';

/** What reads the messages of an answer, and can leave that off. */
interface PassThrough {
  passThrough(f: (bytes: Buffer) => void): void;
}

/**
 * Passes an answer on without looking into it, since whoever gets it looks anyway. Only the first part is looked at: nodes do not
 * expect an error there, so it becomes the status of the call between them (docs/protocol/routing.md, between nodes).
 */
export class PassedAnswer implements Answer {
  readonly #sink: FrameSink;
  readonly #stream: PassThrough | undefined;
  #begun = false;
  #outcome: GrpcStatus = OK;

  /** @param stream the one the answer comes on, if its bytes may go on as they come; undefined: they have to be inflated here */
  constructor(sink: FrameSink, stream: PassThrough | undefined) {
    this.#sink = sink;
    this.#stream = stream;
  }

  take(part: number, message: Buffer, start: number, end: number): void {
    if (!this.#begun) {
      this.#begun = true;
      const refusal = refuseFirst(part);
      if (refusal !== undefined) throw new AppError(StatusCode.InvalidArgument, refusal);
      if (part === AnswerPart.error) {
        this.#outcome = decodeError(message.subarray(start, end));
        return;
      }
      this.#stream?.passThrough((bytes) => this.#sink.frames(bytes));
    }
    this.#sink.frames(frameOf(message));
  }

  /** Who gets the answer sees for himself whether it is whole. */
  readonly refusal = undefined;

  end(): void {
    this.#sink.end(this.#outcome);
  }

  fail(status: GrpcStatus): void {
    this.#sink.end(status);
  }
}

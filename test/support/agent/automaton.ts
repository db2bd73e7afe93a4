import { StatusCode } from '../../../src/runtime/status_code.ts';
import type { RpcStatus } from './rpc.ts';

const START = -2;
export const END_OF_STREAM = -1;

/** Which field may follow which, with the texts that agentk has for the rest (docs/protocol/agent.md). */
export class Automaton {
  readonly #allowed: ReadonlyMap<number, readonly number[]>;
  #current = START;

  /** @param allowed successors by field number; -2 is the start, -1 the end of the stream */
  constructor(allowed: ReadonlyMap<number, readonly number[]>) {
    this.#allowed = allowed;
  }

  /** Moves to `field`, or says why not. */
  next(field: number): RpcStatus | undefined {
    const allowed = this.#allowed.get(this.#current) ?? [];
    if (!allowed.includes(field)) {
      const message = `transition from ${this.#current} to ${field} is not allowed. Allowed: [${allowed.join(' ')}]`;
      return { code: StatusCode.InvalidArgument, message };
    }
    this.#current = field;
    return undefined;
  }
}

/** kas → agentk on a tunnel: request_info, message*, close_send? */
export const CONNECT_RESPONSE_RULES = new Map([
  [START, [1, END_OF_STREAM]],
  [1, [2, 3, END_OF_STREAM]],
  [2, [2, 3, END_OF_STREAM]],
  [3, [END_OF_STREAM]],
]);

/** An HTTP message over gRPC: header, data*, trailer, upgradeData*. */
export const HTTP_RULES = new Map([
  [START, [1]],
  [1, [2, 3]],
  [2, [2, 3]],
  [3, [4, END_OF_STREAM]],
  [4, [4, END_OF_STREAM]],
]);

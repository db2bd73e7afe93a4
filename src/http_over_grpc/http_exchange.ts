import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Automaton, END_OF_STREAM, START } from '../grpc/automaton.ts';
import type { AgentCaller, Call, CallContext, CallSink } from '../grpc/call.ts';
import { OneofReader } from '../grpc/oneof_reader.ts';
import { MalformedMessage, wrappedData } from '../grpc/protobuf_wire.ts';
import { type GrpcStatus, OVERLOADED, statusText } from '../grpc/status.ts';
import { returnBuffer } from '../runtime/buffer_pool.ts';
import { StatusCode } from '../runtime/status_code.ts';
import {
  decodeResponseHeader,
  encodeRequestHeader,
  HttpPart,
  REQUEST_TRAILER,
  type RequestHead,
  type ResponseHead,
} from './http_wire.ts';
import { RequestBody } from './request_body.ts';
import { UpgradedConnection } from './upgraded_connection.ts';

const responseParts = new Automaton({
  [START]: [HttpPart.header],
  [HttpPart.header]: [HttpPart.data, HttpPart.trailer],
  [HttpPart.data]: [HttpPart.data, HttpPart.trailer],
  [HttpPart.trailer]: [END_OF_STREAM, HttpPart.upgradeData],
  [HttpPart.upgradeData]: [END_OF_STREAM, HttpPart.upgradeData],
});

/** Bytes of bodies and upgraded connections: from the client, and to it. */
export interface ExchangeCounts {
  bytesIn: number;
  bytesOut: number;
}

/** What the caller of an exchange decides: which headers the client gets, and how a failure looks. */
export interface ExchangePolicy {
  /** The client's headers, flat (name, value, name, value), and what their Content-Length promises, if there is one. */
  responseHeaders(head: ResponseHead): { readonly headers: string[]; readonly contentLength: number | undefined };
  /**
   * Answers the client with an error. Only called as long as nothing of an answer was sent.
   * @param step what failed
   * @param error why, if there is more to say
   */
  fail(response: ServerResponse, httpStatus: 500 | 502 | 503, step: string, error?: string): void;
  /** An answer that has begun will not be completed. */
  cutOff?(): void;
  /** The answer is complete, or the client is gone. Not called once the protocol was switched. */
  closed(): void;
  /** Where bytes are added up; undefined if nobody wants to know. */
  readonly counts?: ExchangeCounts | undefined;
}

/** An upgrade request's connection: whoever got it from the HTTP server hands it over with the bytes read too far. */
export interface UpgradeSocket {
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Takes the response off the socket, which then belongs to the exchange. */
  detach(): void;
  /** Calls `f` after `delayMs` unless stopped before. */
  timeout(delayMs: number, f: () => void): { stop(): void };
  /** Milliseconds since the epoch. */
  wallMs(): number;
}

const NO_BYTES = Buffer.alloc(0);
const httpResponse = new OneofReader();
const MALFORMED_HEAD: GrpcStatus = {
  code: StatusCode.Internal,
  message: 'the cluster answered with a malformed status or header',
};
const CANCELLED: GrpcStatus = { code: StatusCode.Canceled, message: 'Incoming stream closed: context canceled' };

/**
 * One HTTP request of a client, carried to an agent and back (docs/protocol/http_over_grpc.md). The request goes out whole
 * before the answer is due, but the answer is taken as soon as it comes.
 */
export class HttpExchange implements CallSink {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #policy: ExchangePolicy;
  readonly #counts: ExchangeCounts | undefined;
  readonly #upgrade: UpgradeSocket | undefined;
  #call!: Call;
  #upgraded: UpgradedConnection | undefined;
  #received: number = START;
  /** Bytes of the body that may still come; -1 if the answer does not say. */
  #remaining = -1;
  #bodyStarted = false;
  /** The agent has been told that the request is complete. */
  #halfClosed = false;
  #body: RequestBody | undefined;
  /** The call is over, for better or worse. */
  #over = false;

  constructor(request: IncomingMessage, response: ServerResponse, policy: ExchangePolicy, upgrade?: UpgradeSocket) {
    this.#request = request;
    this.#response = response;
    this.#policy = policy;
    this.#counts = policy.counts;
    this.#upgrade = upgrade;
  }

  /** @param method full gRPC method that carries HTTP */
  start(caller: AgentCaller, agentId: bigint, method: string, head: RequestHead, context?: CallContext): void {
    const call = caller.open(agentId, method, this, context);
    this.#call = call;
    this.#response.on('close', () => {
      this.#policy.closed();
      this.#clientGone();
    });
    if (head.contentLength !== 0) {
      call.write(encodeRequestHeader(head));
      this.#body = new RequestBody(this.#request, call, this.#counts, {
        sent: () => {
          call.write(REQUEST_TRAILER, true);
          this.#halfClose();
        },
        brokenOff: () => this.#clientGone(),
      });
      return;
    }
    call.write(encodeRequestHeader(head), true);
    if (this.#upgrade !== undefined) {
      call.write(REQUEST_TRAILER);
      return;
    }
    call.write(REQUEST_TRAILER, true);
    this.#halfClose();
  }

  #halfClose(): void {
    this.#halfClosed = true;
    this.#call.halfClose();
  }

  // ---- the answer

  message(payload: Buffer): void {
    try {
      this.#read(payload);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#giveUp({ code: StatusCode.Internal, message: error.message });
    }
  }

  #read(payload: Buffer): void {
    httpResponse.read(payload, HttpPart.upgradeData);
    const { field: next, start, end } = httpResponse;
    if (next === 0) {
      this.#giveUp({
        code: StatusCode.InvalidArgument,
        message: 'invalid server response: invalid HttpResponse.Message: value is required',
      });
      return;
    }
    const refusal = responseParts.refuse(this.#received, next);
    if (refusal !== undefined) {
      this.#giveUp({ code: StatusCode.InvalidArgument, message: refusal });
      return;
    }
    this.#received = next;
    switch (next) {
      case HttpPart.data:
        this.#writeBody(wrappedData(payload, start, end));
        break;
      case HttpPart.header:
        this.#writeHead(decodeResponseHeader(payload, start, end));
        break;
      case HttpPart.trailer:
        this.#bodyEnds();
        break;
      case HttpPart.upgradeData:
        if (this.#upgraded === undefined) {
          this.#giveUp({ code: StatusCode.Internal, message: `unexpected field number received: ${next}` });
        } else this.#upgraded.receive(wrappedData(payload, start, end));
        break;
    }
  }

  #writeHead(head: ResponseHead | undefined): void {
    if (head === undefined) {
      this.#giveUp({
        code: StatusCode.InvalidArgument,
        message: 'invalid server response: invalid HttpResponse.Header: value is required',
      });
      return;
    }
    if (head.status < 200 && head.status !== 101) {
      // Nothing informational comes through a tunnel: no head could follow it.
      this.#giveUp(MALFORMED_HEAD);
      return;
    }
    const { headers, contentLength } = this.#policy.responseHeaders(head);
    if (head.status === 101) {
      this.#switchProtocols(headers);
      return;
    }
    try {
      this.#response.writeHead(head.status, headers);
    } catch {
      // Node refuses status codes and header values that HTTP has no place for.
      this.#giveUp(MALFORMED_HEAD);
      return;
    }
    if (!hasBody(this.#request.method, head.status)) this.#remaining = 0;
    else if (contentLength !== undefined) this.#remaining = contentLength;
    // A watch may say nothing for minutes, its client still wants the head. Most answers bring their body along, though,
    // and then head and body leave in one write.
    process.nextTick(flushHead, this);
  }

  /**
   * Sends the head on its own if no body came with it. Not by `flushHeaders`: that encodes the bytes of values once more, as
   * if they were characters.
   */
  flushHead(): void {
    const response = this.#response;
    if (this.#bodyStarted || response.writableEnded || response.destroyed) return;
    if (this.#remaining === 0) response.end();
    else response.write(NO_BYTES);
  }

  #writeBody(data: Buffer): void {
    if (this.#upgraded !== undefined) {
      this.#giveUp({ code: StatusCode.Internal, message: `unexpected field number received: ${HttpPart.data}` });
      return;
    }
    if (data.length === 0) return;
    this.#bodyStarted = true;
    if (this.#counts !== undefined) this.#counts.bytesOut += data.length;
    const response = this.#response;
    if (this.#remaining >= 0) {
      if (data.length > this.#remaining) {
        // What stands behind the promised length would be taken for the next answer, perhaps by somebody else: a proxy in
        // front shares our connections among its clients.
        this.#giveUp({ code: StatusCode.DataLoss, message: 'the answer is longer than its Content-Length' });
        return;
      }
      this.#remaining -= data.length;
      if (this.#remaining === 0) {
        response.end(data);
        return;
      }
    }
    if (!response.write(data, () => returnBuffer(data))) {
      this.#call.pause();
      if (response.listenerCount('drain') === 0) response.on('drain', () => this.#call.resume());
    }
  }

  #bodyEnds(): void {
    if (this.#upgraded !== undefined) {
      this.#upgraded.start();
      return;
    }
    // The agent ends a refused upgrade only after our half-close.
    if (this.#upgrade !== undefined) this.#halfClose();
    if (this.#remaining > 0)
      this.#giveUp({ code: StatusCode.DataLoss, message: 'the answer is shorter than its Content-Length' });
    else if (!this.#response.writableEnded) this.#response.end();
  }

  #switchProtocols(headers: string[]): void {
    const upgrade = this.#upgrade;
    if (upgrade === undefined) {
      this.#over = true;
      this.#call.cancel(CANCELLED);
      this.#policy.fail(this.#response, 500, 'unable to upgrade connection');
      return;
    }
    let head = 'HTTP/1.1 101 Switching Protocols\r\n';
    let dated = false;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      head += `${headers[i]}: ${headers[i + 1]}\r\n`;
      if (headers[i] === 'Date') dated = true;
    }
    if (!dated) head += `Date: ${new Date(upgrade.wallMs()).toUTCString()}\r\n`; // as each other answer has one
    upgrade.detach();
    this.#upgraded = new UpgradedConnection(this.#call, upgrade, `${head}\r\n`, this.#counts);
  }

  end(status: GrpcStatus): void {
    this.#over = true;
    this.#body?.callOver();
    if (this.#upgraded !== undefined) {
      this.#upgraded.end(status);
      return;
    }
    const complete = this.#received === HttpPart.trailer;
    if (complete) return;
    const refusal = responseParts.refuse(this.#received, END_OF_STREAM);
    const reason: GrpcStatus =
      status.code === StatusCode.OK ? { code: StatusCode.InvalidArgument, message: refusal ?? '' } : status;
    this.#failed(reason);
  }

  /** The answer makes no sense: the agent gets to know, and so does the client. */
  #giveUp(status: GrpcStatus): void {
    this.#over = true;
    this.#call.cancel(status);
    this.#body?.callOver();
    if (this.#upgraded !== undefined) this.#upgraded.end(status);
    else this.#failed(status);
  }

  #failed(status: GrpcStatus): void {
    const response = this.#response;
    if (response.destroyed) return;
    // Half an answer must not look like a whole one: kubectl would believe it.
    if (response.headersSent) {
      this.#policy.cutOff?.();
      if (response.writableEnded) {
        response.destroy();
        return;
      }
      this.flushHead();
      // What was written in this turn has not left yet, and the client is to see as much of the answer as there is.
      setImmediate(() => response.destroy());
    } else if (status === OVERLOADED) this.#policy.fail(response, 503, status.message);
    else this.#policy.fail(response, 502, 'failed to read gRPC response', statusText(status));
  }

  #clientGone(): void {
    if (this.#over || this.#upgraded !== undefined) return;
    // Both sides have said everything that matters: the call ends by itself, and well. (An agent that has not heard the end
    // of a request would wait for it for ever.)
    const answered = this.#received === HttpPart.trailer || (this.#remaining === 0 && this.#response.writableEnded);
    if (answered && this.#halfClosed) return;
    this.#over = true;
    this.#call.cancel(CANCELLED);
  }
}

function flushHead(exchange: HttpExchange): void {
  exchange.flushHead();
}

/** Whether an answer has the body that its Content-Length speaks of. */
function hasBody(method: string | undefined, status: number): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304;
}

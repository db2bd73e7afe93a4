import { STATUS_CODES } from 'node:http';
import { Readable } from 'node:stream';
import { create, toBinary } from '@bufbuild/protobuf';
import { type HttpRequest_Header, HttpResponseSchema } from '../gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { Automaton, END_OF_STREAM, START } from '../grpc/automaton.ts';
import { endWithDefect } from '../grpc/server.ts';
import type { RequestSink, ServerCall } from '../grpc/server_call.ts';
import { OK } from '../grpc/status.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { AppError } from '../runtime/app_error.ts';
import type { Timer } from '../runtime/clock.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';

import { encodeData, HttpPart, REQUEST_TRAILER, type ValueList } from './http_wire.ts';
import { CHUNK_BYTES } from './request_body.ts';
import { readRequestMessage } from './request_message.ts';

/** A body up to this size is gathered before the request is made, which can then be repeated. */
const GATHERED_BYTES = 64 << 10;
/** How long either side may keep the other waiting in the middle of a body. */
const STALL_MS = 60_000;

const requestParts = new Automaton({
  [START]: [HttpPart.header],
  [HttpPart.header]: [HttpPart.data, HttpPart.trailer],
  [HttpPart.data]: [HttpPart.data, HttpPart.trailer],
  [HttpPart.trailer]: [END_OF_STREAM, HttpPart.upgradeData],
  [HttpPart.upgradeData]: [END_OF_STREAM, HttpPart.upgradeData],
});

/** What the client gets: names in Go's canonical case. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: ValueList;
  readonly body: Readable;
}

/** Makes the HTTP request, once its body is there or has grown large. Rejects with AppError, or when the signal fires. */
export type MakeRequest = (body: Buffer | Readable | undefined, signal: AbortSignal) => Promise<HttpAnswer>;

/**
 * One HTTP request that a client has us make, and its answer (docs/protocol/http_over_grpc.md, "The other way round").
 * Whatever goes wrong ends the call at once, and the end of the call ends the HTTP request.
 */
export class ServedRequest implements RequestSink {
  readonly #call: ServerCall;
  /** Throws AppError if the request is not to be made. */
  readonly #accept: (head: HttpRequest_Header) => MakeRequest;
  readonly #log: Log;
  readonly #scope: Scope;
  #received: number = START;
  #noBody = false;
  #make!: MakeRequest;
  /** The body so far, while it is gathered. */
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  /** The body that has grown too large for that. */
  #body: Readable | undefined;
  #stall: Timer | undefined;

  constructor(call: ServerCall, accept: (head: HttpRequest_Header) => MakeRequest, log: Log) {
    this.#call = call;
    this.#accept = accept;
    this.#log = log;
    this.#scope = call.session.scope.child();
  }

  start(): void {
    const call = this.#call;
    call.onOver(() => {
      this.#scope.close();
      this.#body?.destroy();
      if (this.#body !== undefined) call.session.streamIdle();
    });
    this.#progress();
    call.receive(this);
  }

  // ---- the request

  request(payload: Buffer): void {
    try {
      this.#take(payload);
    } catch (error) {
      endWithDefect(this.#call, error, this.#log);
    }
  }

  #take(payload: Buffer): void {
    const part = readRequestMessage(payload);
    const next = HttpPart[part.case];
    const refusal = requestParts.refuse(this.#received, next);
    if (refusal !== undefined) throw new AppError(StatusCode.InvalidArgument, refusal);
    this.#received = next;
    switch (part.case) {
      case 'header':
        this.#noBody = part.value.contentLength === 0n;
        this.#begin(part.value);
        break;
      case 'data': {
        if (this.#noBody) throw new AppError(StatusCode.Internal, 'unexpected HttpRequest_Data message received');
        const { buffer, byteOffset, byteLength } = part.value.data;
        this.#takeBody(Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength));
        break;
      }
      case 'trailer':
        this.#stall?.stop();
        if (this.#body === undefined) {
          void this.#exchange(this.#gatheredBytes === 0 ? undefined : Buffer.concat(this.#gathered));
        } else if (!this.#body.destroyed) this.#body.push(null);
        break;
      case 'upgradeData':
        throw new AppError(StatusCode.Internal, 'unexpected HttpRequest_UpgradeData message for non-upgrade request');
    }
  }

  #begin(head: HttpRequest_Header): void {
    this.#progress();
    try {
      this.#make = this.#accept(head);
    } catch (error) {
      this.#failed(error);
    }
  }

  #takeBody(data: Buffer): void {
    this.#progress();
    if (this.#body !== undefined) {
      // Once it is destroyed GitLab has answered without wanting the rest.
      if (!this.#body.destroyed && !this.#body.push(data)) this.#call.pause();
      return;
    }
    this.#gathered.push(data);
    this.#gatheredBytes += data.length;
    if (this.#gatheredBytes <= GATHERED_BYTES) return;
    const call = this.#call;
    call.session.streamBusy();
    this.#body = new Readable({
      read: () => {
        if (call.over) return;
        if (this.#received !== HttpPart.trailer) this.#progress();
        call.resume();
      },
    });
    for (const piece of this.#gathered) this.#body.push(piece);
    this.#gathered = [];
    call.pause();
    void this.#exchange(this.#body);
  }

  requestsDone(): void {
    const refusal = requestParts.refuse(this.#received, END_OF_STREAM);
    if (refusal !== undefined) this.#call.end({ code: StatusCode.InvalidArgument, message: refusal });
  }

  /** The call's own end has done everything. */
  cancelled(): void {}

  // ---- the answer

  async #exchange(body: Buffer | Readable | undefined): Promise<void> {
    try {
      const answer = await this.#make(body, this.#scope.signal);
      if (this.#call.over) answer.body.destroy();
      else this.#relay(answer);
    } catch (error) {
      this.#failed(error);
    }
  }

  #relay({ status, headers, body }: HttpAnswer): void {
    const call = this.#call;
    this.#progress();
    const header = Object.fromEntries(headers.map(([name, value]) => [name, { value: [...value] }]));
    const response = { statusCode: status, status: `${status} ${STATUS_CODES[status] ?? ''}`, header };
    const message = create(HttpResponseSchema, { message: { case: 'header', value: { response } } });
    call.write(toBinary(HttpResponseSchema, message));
    call.onDrain(() => {
      this.#progress();
      body.resume();
    });
    body.on('data', (chunk: Buffer) => {
      if (call.over) return;
      this.#progress();
      let ready = true;
      for (let at = 0; at < chunk.length; at += CHUNK_BYTES) {
        ready = call.write(encodeData(HttpPart.data, chunk.subarray(at, at + CHUNK_BYTES)));
      }
      if (!ready) body.pause();
    });
    body.once('end', () => {
      call.write(REQUEST_TRAILER); // a response's is the same
      call.end(OK);
    });
    const cutOff = () =>
      call.end({ code: StatusCode.Canceled, message: 'gRPC -> HTTP: read HTTP response body: unexpected EOF' });
    body.once('error', cutOff);
    body.once('close', cutOff);
  }

  /** The request could not be made. */
  #failed(error: unknown): void {
    const call = this.#call;
    if (call.over) return;
    if (!(error instanceof AppError)) {
      endWithDefect(call, error, this.#log);
      return;
    }
    const { code, message, hint } = error;
    this.#log.error('gRPC -> HTTP', { error: message, hint: hint ?? Hint.gitlab });
    call.end({ code, message: `gRPC -> HTTP: ${message}` });
  }

  /** Something has moved: the time in which something must move begins again. */
  #progress(): void {
    this.#stall?.stop();
    if (this.#call.over) return;
    this.#stall = this.#scope.timeout(STALL_MS, () =>
      this.#call.end({
        code: StatusCode.DeadlineExceeded,
        message: `gRPC -> HTTP: nothing has moved for ${STALL_MS / 1000} s`,
      }),
    );
  }
}

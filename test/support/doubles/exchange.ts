import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { HttpRequestSchema, HttpResponseSchema } from '../../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import type { GrpcStatus } from '../../../src/grpc/status.ts';
import { type ExchangePolicy, HttpExchange } from '../../../src/http_over_grpc/http_exchange.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import type { StatusCode } from '../../../src/runtime/status_code.ts';
import { HttpConnection } from './http_connection.ts';
import { RecordingCaller } from './recording_call.ts';

type Part = MessageInitShape<typeof HttpResponseSchema>['message'];

export const trailer: Part = { case: 'trailer', value: {} };
export const ok: GrpcStatus = { code: 0, message: '' };

export function answer(statusCode: number, headers: Record<string, string | string[]>): Part {
  const entries = Object.entries(headers).map(([name, value]) => [name, { value: [value].flat() }]);
  return { case: 'header', value: { response: { statusCode, header: Object.fromEntries(entries) } } };
}

export function data(text: string): Part {
  return { case: 'data', value: { data: Buffer.from(text, 'latin1') } };
}

export function upgradeData(text: string): Part {
  return { case: 'upgradeData', value: { data: Buffer.from(text, 'latin1') } };
}

export function failed(code: StatusCode, message: string): GrpcStatus {
  return { code, message };
}

/** Lets every header through. */
const policy: ExchangePolicy = {
  responseHeaders({ headers }) {
    const length = headers.find(([name]) => name === 'Content-Length')?.[1][0];
    return {
      headers: headers.flatMap(([name, values]) => values.flatMap((value) => [name, value])),
      contentLength: length === undefined ? undefined : Number(length),
    };
  },
  closed() {},
  fail(response, httpStatus, step, error) {
    const what = error === undefined ? step : `${step}: ${error}`;
    response.writeHead(httpStatus, ['Content-Length', String(what.length)]);
    response.end(what);
  },
};

/** A client that sends `request`, up to the point where an exchange has opened its call; the test plays client and agent. */
export async function setUp(request: string) {
  const caller = new RecordingCaller();
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const connection = new HttpConnection((incoming, response, upgrade) => {
    const length = incoming.headers['content-length'];
    const chunked = incoming.headers['transfer-encoding'] !== undefined;
    const head = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: [],
      query: [],
      extra: undefined,
      contentLength: chunked ? -1 : Number(length ?? 0),
    };
    const socket = upgrade && { ...upgrade, timeout: scope.timeout.bind(scope), wallMs: () => scope.clock.wallMs() };
    new HttpExchange(incoming, response, policy, socket).start(caller, 42n, '/s/MakeRequest', head);
  });
  connection.write(request);
  await connection.until(() => caller.opened.length > 0, 'the call');
  const opened = caller.opened[0]!;
  return {
    clock,
    connection,
    opened,
    call: opened.call,
    /** The agent answers. */
    says: (...parts: Part[]) => {
      for (const message of parts) {
        const payload = toBinary(HttpResponseSchema, create(HttpResponseSchema, message && { message }));
        if (opened.call.cancelled === undefined) opened.sink.message(Buffer.from(payload));
      }
    },
    /** The agent's call ends. */
    ends: (status: GrpcStatus) => opened.sink.end(status),
    /** What the agent was sent. */
    sent: () =>
      opened.call.messages.map((bytes) => {
        const { message } = fromBinary(HttpRequestSchema, bytes);
        if (message.case === 'header') {
          const { request: head, contentLength } = message.value;
          return `header ${head?.method} ${head?.urlPath} ${contentLength}`;
        }
        if (message.case === 'trailer' || message.case === undefined) return message.case;
        return `${message.case} ${Buffer.from(message.value.data).toString('latin1')}`;
      }) as string[],
  };
}

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { HeaderExtraSchema } from '../../src/gen/gitlab/agent/gitlab_access/rpc/gitlab_access_pb.ts';
import { HttpRequestSchema, HttpResponseSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import type { CallOptions, GrpcConnection, GrpcStream, Status } from './grpc_client.ts';

export type RequestPart = NonNullable<MessageInitShape<typeof HttpRequestSchema>['message']>;

interface HeaderOptions {
  readonly method?: string;
  readonly path?: string;
  readonly module?: string;
  readonly header?: Readonly<Record<string, string[]>>;
  readonly query?: Readonly<Record<string, string[]>>;
  readonly contentLength?: bigint;
  /** false: none. */
  readonly extra?: false;
}

/** A request's first message, as agentk writes it. */
export function requestHeader(options: HeaderOptions = {}): RequestPart {
  const values = (lists: Readonly<Record<string, string[]>> = {}) =>
    Object.fromEntries(Object.entries(lists).map(([name, value]) => [name, { value }]));
  const moduleName = options.module ?? 'remote_development';
  return {
    case: 'header',
    value: {
      request: {
        method: options.method ?? 'GET',
        urlPath: options.path ?? '/reconcile',
        header: values(options.header),
        query: values(options.query),
      },
      ...(options.extra !== false && {
        extra: {
          typeUrl: `type.googleapis.com/${HeaderExtraSchema.typeName}`,
          value: toBinary(HeaderExtraSchema, create(HeaderExtraSchema, { moduleName })),
        },
      }),
      ...(options.contentLength !== undefined && { contentLength: options.contentLength }),
    },
  };
}

export const trailer: RequestPart = { case: 'trailer', value: {} };

export function data(bytes: Uint8Array | string): RequestPart {
  return { case: 'data', value: { data: Buffer.from(bytes as string) } };
}

export function openRequest(agent: GrpcConnection, options?: CallOptions): GrpcStream {
  return agent.call('/gitlab.agent.gitlab_access.rpc.GitlabAccess/MakeRequest', options);
}

export interface Answered {
  readonly httpStatus: number | undefined;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly body: Buffer;
  /** The sizes of the body's pieces. */
  readonly pieces: readonly number[];
  readonly complete: boolean;
  readonly status: Status;
}

/** Sends the parts, half-closes and reads the answer to its end. */
export async function ask(
  agent: GrpcConnection,
  parts: readonly RequestPart[],
  options?: CallOptions,
): Promise<Answered> {
  const call = openRequest(agent, options);
  for (const message of parts) call.sendMessage(HttpRequestSchema, { message });
  call.halfClose();
  return await readAnswer(call);
}

export async function readAnswer(call: GrpcStream): Promise<Answered> {
  let httpStatus: number | undefined;
  let headers = {};
  let complete = false;
  const pieces: Buffer[] = [];
  for (let payload = await call.next(); payload !== undefined; payload = await call.next()) {
    const { message } = fromBinary(HttpResponseSchema, payload);
    if (message.case === 'header') {
      httpStatus = message.value.response?.statusCode;
      headers = Object.fromEntries(
        Object.entries(message.value.response?.header ?? {}).map(([name, { value }]) => [name, value]),
      );
    } else if (message.case === 'data') pieces.push(Buffer.from(message.value.data));
    else if (message.case === 'trailer') complete = true;
  }
  return {
    httpStatus,
    headers,
    body: Buffer.concat(pieces),
    pieces: pieces.map(({ length }) => length),
    complete,
    status: await call.status,
  };
}

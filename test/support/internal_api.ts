import { createHmac } from 'node:crypto';
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import type { Endpoint } from './endpoint.ts';
import { envelope, type GrpcConnection, grpcConnection, type Status, unary } from './grpc_client.ts';
import { ask } from './http_client.ts';
import { within } from './wait.ts';

/** A token as Rails makes them; claims that are undefined are left out. */
export function railsJwt(secret: Buffer, claims: Record<string, unknown> = {}, alg = 'HS256'): string {
  const now = Math.floor(Date.now() / 1000);
  const all = { jti: '1', iss: 'gitlab.example', aud: 'gitlab-kas', iat: now, nbf: now - 5, exp: now + 60, ...claims };
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${encode({ typ: 'JWT', alg })}.${encode(all)}`;
  return `${signed}.${createHmac(`sha${alg.slice(2)}`, secret)
    .update(signed)
    .digest('base64url')}`;
}

export interface Reply<D extends DescMessage> {
  readonly status: Status;
  readonly response: MessageShape<D> | undefined;
}

/** A caller of the internal API, by one of its protocols. */
export interface InternalCaller {
  readonly name: string;
  /** @param authorization default: a good token; null: none */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    authorization?: string | null,
  ): Promise<Reply<O>>;
  close(): void;
}

/** All ways to call: what must hold for one, holds for each. */
export async function internalCallers(endpoint: Endpoint, secret: Buffer): Promise<InternalCaller[]> {
  const head = (authorization: string | null | undefined): Record<string, string> => {
    const value = authorization === undefined ? `bearer ${railsJwt(secret)}` : authorization;
    return value === null ? {} : { authorization: value };
  };
  const connection = await grpcConnection(endpoint);
  const http1 = (name: string, exchange: Exchange): InternalCaller => ({
    name: `${name} over HTTP/1.1`,
    call: (method, request, authorization) =>
      exchange(method, request, async (headers, body) => {
        const sent = { ...head(authorization), ...headers };
        const answer = await ask(endpoint, { method: 'POST', path: pathOf(method), headers: sent, body });
        return { status: answer.status, headers: answer.headers, body: answer.body };
      }),
    close() {},
  });
  const http2 = (name: string, exchange: Exchange): InternalCaller => ({
    name: `${name} over HTTP/2`,
    call: (method, request, authorization) =>
      exchange(method, request, (headers, body) =>
        askHttp2(connection, pathOf(method), { ...head(authorization), ...headers }, body),
      ),
    close() {},
  });
  return [
    {
      name: 'gRPC',
      call: (method, request, authorization) =>
        unary(connection, pathOf(method), method.input, request, method.output, {
          token: undefined,
          headers: head(authorization),
        }),
      close: () => connection.close(),
    },
    http1('Connect', connectExchange),
    http2('Connect', connectExchange),
    http1('gRPC-Web', grpcWebExchange),
    http2('gRPC-Web', grpcWebExchange),
  ];
}

export function pathOf(method: DescMethodUnary): string {
  return `/${method.parent.typeName}/${method.name}`;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

type Post = (headers: Record<string, string>, body: Buffer) => Promise<Answer>;

type Exchange = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  post: Post,
) => Promise<Reply<O>>;

const connectCodes = [
  'ok',
  'canceled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
];

const connectExchange: Exchange = async (method, request, post) => {
  const json = JSON.stringify(toJson(method.input, create(method.input, request)));
  const { status, body } = await post({ 'content-type': 'application/json' }, Buffer.from(json));
  const answer: JsonValue = JSON.parse(body.toString());
  if (status === 200) return { status: { code: 0, message: '' }, response: fromJson(method.output, answer) };
  const { code, message = '' } = answer as { code: string; message?: string };
  return { status: { code: connectCodes.indexOf(code), message }, response: undefined };
};

const grpcWebExchange: Exchange = async (method, request, post) => {
  const { headers, body } = await post(
    { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' },
    envelope(toBinary(method.input, create(method.input, request))),
  );
  let status = headers['grpc-status'] === undefined ? undefined : statusOf(headers);
  let response: MessageShape<typeof method.output> | undefined;
  for (let rest = body; rest.length >= 5; ) {
    const payload = rest.subarray(5, 5 + rest.readUInt32BE(1));
    if (rest[0] === 0x80) status = statusOf(trailersOf(payload.toString()));
    else response = fromBinary(method.output, payload);
    rest = rest.subarray(5 + payload.length);
  }
  return { status: status ?? { code: -1, message: 'no status' }, response };
};

function statusOf(trailers: Answer['headers']): Status {
  const message = decodeURIComponent(String(trailers['grpc-message'] ?? ''));
  return { code: Number(trailers['grpc-status']), message };
}

function trailersOf(text: string): Record<string, string> {
  const lines = text.split('\r\n').filter((line) => line !== '');
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

/** A request on a connection of HTTP/2, as a client sends it that has nothing to do with gRPC. */
export async function askHttp2(
  { session }: GrpcConnection,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<Answer> {
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  const answer = new Promise<Answer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let head: Answer['headers'] = {};
    stream.on('response', (received) => {
      head = received as Answer['headers'];
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('close', () => resolve({ status: Number(head[':status']), headers: head, body: Buffer.concat(chunks) }));
  });
  stream.end(body);
  return within(`the answer to ${path}`, 10_000, answer);
}

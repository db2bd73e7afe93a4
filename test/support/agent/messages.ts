import { Reader, Writer } from './wire.ts';

/** The messages of a tunnel and of HTTP over gRPC, read and written in place (docs/protocol/agent.md). */

const EMPTY: Buffer = Buffer.alloc(0);

type Values = Map<string, string[]>;

/** What kas sends on a tunnel. `field` is the number of the oneof's member, 0 when none is set. */
export interface ConnectResponse {
  readonly field: number;
  /** Content of that member. */
  readonly body: Buffer;
}

export const CONNECT_RESPONSE = { requestInfo: 1, message: 2, closeSend: 3 } as const;
export const HTTP_MESSAGE = { header: 1, data: 2, trailer: 3, upgradeData: 4 } as const;

/** The one set member of a message that is only a oneof. */
export function readOneof(message: Buffer, highest: number): ConnectResponse {
  const reader = new Reader(message);
  let field = 0;
  let body = EMPTY;
  while (reader.next()) {
    if (reader.field > highest) continue;
    field = reader.field;
    body = reader.bytes();
  }
  return { field, body };
}

export function readRequestInfo(body: Buffer): { methodName: string; meta: Values } {
  const reader = new Reader(body);
  let methodName = '';
  const meta: Values = new Map();
  while (reader.next()) {
    if (reader.field === 1) methodName = reader.string();
    else if (reader.field === 2) reader.valuesInto(meta);
  }
  return { methodName, meta };
}

/** Field 1 of Message, Data and UpgradeData. */
export function readData(body: Buffer): Buffer {
  const reader = new Reader(body);
  let data = EMPTY;
  while (reader.next()) if (reader.field === 1) data = reader.bytes();
  return data;
}

export interface HttpRequestHeader {
  method: string;
  header: Values;
  urlPath: string;
  query: Values;
  /** undefined when the field is absent; -1: a body of unknown length. */
  contentLength: number | undefined;
  extra: { typeUrl: string; value: Buffer } | undefined;
}

export function readHttpRequestHeader(body: Buffer): HttpRequestHeader {
  const out: HttpRequestHeader = {
    method: '',
    header: new Map(),
    urlPath: '',
    query: new Map(),
    contentLength: undefined,
    extra: undefined,
  };
  const reader = new Reader(body);
  while (reader.next()) {
    if (reader.field === 1) {
      const request = new Reader(reader.bytes());
      while (request.next()) {
        if (request.field === 1) out.method = request.string();
        else if (request.field === 2) request.valuesInto(out.header);
        else if (request.field === 3) out.urlPath = request.string();
        else if (request.field === 4) request.valuesInto(out.query);
      }
    } else if (reader.field === 2) {
      const any = new Reader(reader.bytes());
      const extra = { typeUrl: '', value: EMPTY };
      while (any.next()) {
        if (any.field === 1) extra.typeUrl = any.string();
        else if (any.field === 2) extra.value = any.bytes();
      }
      out.extra = extra;
    } else if (reader.field === 3) out.contentLength = Number(reader.int64());
  }
  return out;
}

export interface ImpersonationConfig {
  username: string;
  groups: string[];
  uid: string;
  extra: [key: string, values: string[]][];
}

/** The ImpersonationConfig of a kubernetes_api HeaderExtra. */
export function readImpersonation(headerExtra: Buffer): ImpersonationConfig {
  const out: ImpersonationConfig = { username: '', groups: [], uid: '', extra: [] };
  const reader = new Reader(headerExtra);
  while (reader.next()) {
    if (reader.field !== 1) continue;
    const config = new Reader(reader.bytes());
    while (config.next()) {
      if (config.field === 1) out.username = config.string();
      else if (config.field === 2) out.groups.push(config.string());
      else if (config.field === 3) out.uid = config.string();
      else if (config.field === 4) {
        const pair = new Reader(config.bytes());
        let key = '';
        const values: string[] = [];
        while (pair.next()) {
          if (pair.field === 1) key = pair.string();
          else if (pair.field === 2) values.push(pair.string());
        }
        out.extra.push([key, values]);
      }
    }
  }
  return out;
}

const LOCAL_METADATA: Values = new Map([['content-type', ['application/grpc+proto']]]);

export function connectHeader(withMetadata: boolean): Buffer {
  return new Writer().bytes(2, new Writer().values(1, withMetadata ? LOCAL_METADATA : new Map()).finish()).finish();
}

export function connectTrailer(withMetadata: boolean): Buffer {
  return new Writer().bytes(4, new Writer().values(1, withMetadata ? LOCAL_METADATA : new Map()).finish()).finish();
}

export function connectError(code: number, message: string): Buffer {
  const status = new Writer().varint(1, code).string(2, message).finish();
  return new Writer().bytes(5, new Writer().bytes(1, status).finish()).finish();
}

/** A ConnectRequest.message around an HttpResponse whose member `field` is `body`. */
export function connectHttpResponse(field: number, body: Buffer): Buffer {
  return new Writer().bytes(3, new Writer().bytes(1, new Writer().bytes(field, body).finish()).finish()).finish();
}

export function httpResponseHeader(
  statusCode: number,
  status: string,
  header: ReadonlyMap<string, readonly string[]>,
): Buffer {
  const response = new Writer().varint(1, statusCode);
  if (status !== '') response.string(2, status);
  return new Writer().bytes(1, response.values(3, header).finish()).finish();
}

export function httpData(data: Uint8Array): Buffer {
  return new Writer().bytes(1, data).finish();
}

/** The descriptor of a tunnel: what the agent's internal server can do. */
export function connectDescriptor(services: ReadonlyMap<string, readonly string[]>): Buffer {
  const agent = new Writer();
  for (const [name, methods] of services) {
    const service = new Writer().string(1, name);
    for (const method of methods) service.bytes(2, new Writer().string(1, method).finish());
    agent.bytes(1, service.finish());
  }
  return new Writer().bytes(1, new Writer().bytes(1, agent.finish()).finish()).finish();
}

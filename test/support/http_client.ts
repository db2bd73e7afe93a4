import {
  type Agent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connectOptions, type Endpoint } from './endpoint.ts';

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
  /** Default: a connection of its own for each request. */
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly text: string;
}

/** Asks and reads the whole answer. */
export async function ask(endpoint: Endpoint, asked: Asked): Promise<Answered> {
  const response = await open(endpoint, asked);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    rawHeaders: response.rawHeaders,
    body,
    text: body.toString(),
  };
}

/** Asks and resolves with the response as soon as its head is there. */
export function open(endpoint: Endpoint, asked: Asked): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = outgoingRequest(endpoint, asked);
    outgoing.on('error', reject).on('response', resolve);
    // node:http announces no length for the body of a DELETE by itself.
    if (asked.body !== undefined) outgoing.setHeader('content-length', Buffer.byteLength(asked.body));
    outgoing.end(asked.body);
  });
}

/** A request whose body the caller writes. */
export function outgoingRequest(endpoint: Endpoint, asked: Asked) {
  const where = connectOptions(endpoint);
  const options: RequestOptions = {
    ...('path' in where ? { socketPath: where.path } : where),
    method: asked.method ?? 'GET',
    path: asked.path,
    headers: { host: 'kas.example', ...(asked.headers as Record<string, string | string[]> | undefined) },
    agent: asked.agent ?? false,
    ...(asked.signal && { signal: asked.signal }),
  };
  if (endpoint.ca === undefined) return httpRequest(options);
  return httpsRequest({ ...options, ca: endpoint.ca, servername: 'localhost' });
}

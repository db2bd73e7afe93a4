import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { Clock } from '../../../src/runtime/clock.ts';
import { readBody, sendJson } from './replies.ts';

const CHUNK = Buffer.alloc(64 * 1024, '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_');

type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  query: URLSearchParams,
  clock: Clock,
) => void | Promise<void>;

/** Paths that no cluster has, for tests of the way to it. */
const handlers: Record<string, Handler> = {
  /** `?bytes=N` of text, with Content-Length unless `chunked=1`. */
  '/big': (_request, response, query) => {
    const bytes = Number(query.get('bytes') ?? 0);
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      ...(query.has('chunked') ? {} : { 'Content-Length': bytes }),
    });
    pipeline(Readable.from(repeat(bytes)), response, () => {});
  },
  /** `?chunks=N&every=MS&size=BYTES`: a stream that takes its time. */
  '/slow': (_request, response, query, clock) => {
    const size = Number(query.get('size') ?? 16);
    let left = Number(query.get('chunks') ?? 1);
    response.writeHead(200, { 'Content-Type': 'text/plain' });
    response.flushHeaders();
    const step = (): void => {
      if (response.destroyed) return;
      if (left-- === 0) response.end();
      else {
        response.write(CHUNK.subarray(0, size));
        clock.startTimer(Number(query.get('every') ?? 1000), step);
      }
    };
    clock.startTimer(Number(query.get('every') ?? 1000), step);
  },
  /** What was received. */
  '/echo': async (request, response) => {
    const body = await readBody(request);
    sendJson(response, 200, {
      method: request.method,
      path: request.url,
      headers: request.rawHeaders,
      body: body.toString('utf8'),
      bodyLength: body.length,
    });
  },
  /** Counts the body without keeping it; `?rate=BYTES` a second at most. */
  '/sink': (request, response, query, clock) => {
    const rate = Number(query.get('rate') ?? 0);
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (rate === 0) return;
      request.pause();
      clock.startTimer((chunk.length / rate) * 1000, () => request.resume());
    });
    request.on('end', () => sendJson(response, 200, { bodyLength: bytes }));
  },
  /** Dies in the middle of the answer. */
  '/cut': (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 1000 });
    response.write(CHUNK.subarray(0, 100), () => response.destroy());
  },
  /** Never answers. */
  '/hang': () => {},
  '/redirect': (_request, response) => {
    response.writeHead(302, { Location: '/version' }).end();
  },
  /** What a hostile cluster may try on a browser. */
  '/headers': (_request, response) => {
    response.writeHead(200, {
      'Content-Type': 'text/html',
      'Set-Cookie': 'evil=1',
      'X-Accel-Redirect': '/etc/passwd',
      'Access-Control-Allow-Origin': '*',
      NEL: '{}',
      Etag: 'abc',
      Warning: '299 - w',
    });
    response.end('<script>1</script>');
  },
};

/** @returns false when the path is not one of these */
export function serveLab(
  path: string,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
): boolean {
  const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
  if (handler === undefined) return false;
  void Promise.resolve(handler(request, response, query, clock)).catch(() => response.destroy());
  return true;
}

function* repeat(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length) yield left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
}

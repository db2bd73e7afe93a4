import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { answer, type Era } from './answers.ts';
import { type Failure, playFailure } from './failure.ts';
import { jwtProblem } from './jwt.ts';
import { defaultTables, type Tables } from './tables.ts';

export interface GitLabOptions {
  readonly era?: Era;
  readonly port?: number;
  /** The 32 bytes shared with the server under test; made up when absent. */
  readonly secret?: Buffer;
  readonly tables?: Tables;
  /** By how much its clock is ahead of this machine's; default 0. */
  readonly clockAheadMs?: number;
  /** PEM; with it the fake speaks HTTPS. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly path: string;
  /** Names in the case in which they came. */
  readonly rawHeaders: readonly (readonly [string, string])[];
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly status: number;
}

export interface FakeGitLab extends Tables {
  readonly url: string;
  readonly secret: Buffer;
  /** Every request answered so far, oldest first. */
  readonly requests: readonly SeenRequest[];
  /** What was wrong with requests' JWTs: empty unless the server under test errs. */
  readonly problems: readonly string[];
  /** The requests whose path ends like that. */
  requestsTo(pathEnd: string): SeenRequest[];
  /** Plays `failure` for the next `times` (default: all) requests whose path ends like that. Returns how to stop it. */
  fail(pathEnd: string, failure: Failure, times?: number): () => void;
  close(): Promise<void>;
}

interface Scripted {
  readonly pathEnd: string;
  readonly failure: Failure;
  left: number;
}

/** Starts a GitLab that knows just enough of Rails' internal API, on 127.0.0.1. */
export async function startGitLab(options: GitLabOptions = {}): Promise<FakeGitLab> {
  const era = options.era ?? 'today';
  const secret = options.secret ?? randomBytes(32);
  const nowMs = () => Date.now() + (options.clockAheadMs ?? 0);
  const tables = options.tables ?? defaultTables();
  const requests: SeenRequest[] = [];
  const problems: string[] = [];
  const scripted: Scripted[] = [];

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const url = new URL(request.url ?? '/', 'http://gitlab');
    const record = (status: number) => requests.push(seen(request, url, body, status));
    const failure = nextFailure(scripted, url.pathname);
    if (failure !== undefined) {
      record(failure.status ?? 0);
      return await playFailure(response, failure);
    }
    const problem = tokenProblem(request, url.pathname);
    if (problem !== undefined) problems.push(`${request.method} ${url.pathname}: ${problem}`);
    const q = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body,
    };
    const out = problem === undefined ? answer(era, tables, q) : { status: 401, body: { message: problem } };
    record(out.status);
    const bytes = out.body === undefined ? undefined : Buffer.from(JSON.stringify(out.body));
    response.writeHead(out.status, {
      'x-request-id': `rails-${requests.length}`,
      date: new Date(nowMs()).toUTCString(),
      ...out.headers,
      ...(bytes && { 'content-type': 'application/json', 'content-length': bytes.length }),
    });
    response.end(bytes);
  }

  function tokenProblem(request: IncomingMessage, path: string): string | undefined {
    const token = request.headers['gitlab-kas-api-request'];
    // The job token alone authenticates there, but a token that is sent must be a good one.
    if (path.endsWith('/job/allowed_agents') && token === undefined) return undefined;
    return jwtProblem(Array.isArray(token) ? token[0] : token, secret, nowMs());
  }

  const listener: RequestListener = (request, response) => {
    serve(request, response).catch((error: unknown) => {
      problems.push(`the fake failed: ${String(error)}`);
      response.destroy();
    });
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    ...tables,
    url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    secret,
    requests,
    problems,
    requestsTo: (pathEnd) => requests.filter((r) => r.path.endsWith(pathEnd)),
    fail(pathEnd, failure, times = Number.POSITIVE_INFINITY) {
      const entry: Scripted = { pathEnd, failure, left: times };
      scripted.push(entry);
      return () => {
        entry.left = 0;
      };
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function nextFailure(scripted: readonly Scripted[], path: string): Failure | undefined {
  const entry = scripted.find((s) => s.left > 0 && path.endsWith(s.pathEnd));
  if (entry === undefined) return undefined;
  entry.left -= 1;
  return entry.failure;
}

function seen(request: IncomingMessage, url: URL, body: string, status: number): SeenRequest {
  const raw = request.rawHeaders;
  const rawHeaders: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) rawHeaders.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    path: url.pathname,
    rawHeaders,
    headers: request.headers,
    body,
    status,
  };
}

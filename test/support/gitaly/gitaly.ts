import { mkdtempSync, rmSync } from 'node:fs';
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { frame, payloadsOf } from '../doubles/grpc_frames.ts';
import { CallStatus, methods } from './methods.ts';
import { createRepository, type TestRepository } from './repository.ts';
import { tokenProblem } from './token.ts';

export interface GitalyOptions {
  /** Default: a free port on 127.0.0.1. */
  readonly listen?: { readonly port: number } | { readonly socket: string };
  /** PEM; with it the fake speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Shared with the callers; default `gitaly-token`. Empty: any call is let in. */
  readonly token?: string;
}

export interface SeenCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** What a call runs into instead of an answer: a status, silence, or a connection that breaks. */
export type GitalyFailure = { readonly code: number; readonly message: string } | 'hang' | 'cut';

export interface FakeGitaly {
  /** As GitLab would say it. */
  readonly address: string;
  readonly token: string;
  /** Every call so far, oldest first. */
  readonly calls: readonly SeenCall[];
  /** What was wrong with calls' tokens. */
  readonly problems: readonly string[];
  /** An empty repository, in the storage named `default`. */
  createRepository(relativePath: string): Promise<TestRepository>;
  removeRepository(relativePath: string): void;
  /** Fails the calls whose path ends like that, from now on. Returns how to stop it. */
  fail(pathEnd: string, failure: GitalyFailure): () => void;
  /** Breaks all connections and takes no more. */
  goDown(): Promise<void>;
  /** Listens again where it did. */
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a Gitaly that reads real repositories with git. */
export async function startGitaly(options: GitalyOptions = {}): Promise<FakeGitaly> {
  const storage = mkdtempSync(join(tmpdir(), 'gitaly-'));
  const token = options.token ?? 'gitaly-token';
  const calls: SeenCall[] = [];
  const problems: string[] = [];
  const failures = new Map<string, GitalyFailure>();
  const sessions = new Set<ServerHttp2Session>();
  let listen = options.listen ?? { port: 0 };
  let server: Http2Server | undefined;

  async function play(stream: ServerHttp2Stream, path: string, headers: IncomingHttpHeaders): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    calls.push({ path, headers });
    const failure = [...failures].find(([pathEnd]) => path.endsWith(pathEnd))?.[1];
    if (failure === 'hang') return;
    if (failure === 'cut') {
      stream.session?.destroy();
      return;
    }
    if (failure !== undefined) throw new CallStatus(failure.code, failure.message);
    const problem = tokenProblem(headers.authorization, token, Date.now());
    if (problem !== undefined) {
      problems.push(problem);
      throw new CallStatus(16, problem);
    }
    const method = methods.get(path);
    const [request] = payloadsOf(Buffer.concat(chunks));
    if (method === undefined || request === undefined) throw new CallStatus(12, `unknown method ${path}`);
    const answers = await method(storage, request);
    if (stream.destroyed) return;
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    for (const answer of answers) stream.write(frame(answer));
    stream.end();
  }

  function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {});
    play(stream, headers[':path'] ?? '', headers).catch((error: unknown) => {
      if (stream.destroyed || stream.headersSent) return;
      const status = error instanceof CallStatus ? error : new CallStatus(13, String(error));
      const details = status.details && { 'grpc-status-details-bin': Buffer.from(status.details).toString('base64') };
      const head = { ':status': 200, 'content-type': 'application/grpc' };
      const outcome = { 'grpc-status': String(status.code), 'grpc-message': encodeURIComponent(status.message) };
      stream.respond({ ...head, ...outcome, ...details }, { endStream: true });
    });
  }

  async function comeBack(): Promise<void> {
    const started = options.tls === undefined ? createServer() : createSecureServer(options.tls);
    server = started;
    started.on('stream', serve);
    started.on('session', (session) => {
      sessions.add(session);
      session.on('error', () => {}).on('close', () => sessions.delete(session));
    });
    started.on('sessionError', () => {});
    await new Promise<void>((resolve, reject) => {
      started.once('error', reject);
      if ('socket' in listen) started.listen(listen.socket, resolve);
      else started.listen(listen.port, '127.0.0.1', resolve);
    });
    if ('port' in listen) listen = { port: (started.address() as AddressInfo).port };
  }

  async function goDown(): Promise<void> {
    const stopped = server;
    server = undefined;
    if (stopped === undefined) return;
    const closed = new Promise((resolve) => stopped.close(resolve));
    for (const session of sessions) session.destroy();
    await closed;
  }

  await comeBack();
  return {
    address: addressOf(listen, options.tls !== undefined),
    token,
    calls,
    problems,
    createRepository: (relativePath) => createRepository(storage, relativePath),
    removeRepository: (relativePath) => rmSync(join(storage, relativePath), { recursive: true }),
    fail(pathEnd, failure) {
      failures.set(pathEnd, failure);
      return () => void failures.delete(pathEnd);
    },
    goDown,
    comeBack,
    async close() {
      await goDown();
      rmSync(storage, { recursive: true, force: true });
    },
  };
}

function addressOf(listen: NonNullable<GitalyOptions['listen']>, tls: boolean): string {
  if ('socket' in listen) return `unix:${listen.socket}`;
  return tls ? `tls://localhost:${listen.port}` : `tcp://127.0.0.1:${listen.port}`;
}

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { errorText } from '../../../src/runtime/app_error.ts';
import { type Clock, systemClock } from '../../../src/runtime/clock.ts';
import { serveDiscovery } from './discovery.ts';
import { Exec } from './exec.ts';
import { findKind } from './kinds.ts';
import { serveLab } from './lab.ts';
import { parseResourcePath, serveObjects } from './objects.ts';
import { PodLogs } from './pod_logs.ts';
import { sendStatus } from './replies.ts';
import { pod, seed } from './seed.ts';
import { type KubernetesObject, Store } from './store.ts';

export interface KubernetesOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** PEM; without it the server speaks plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** PEM of the CA whose client certificates are asked for and accepted. Needs `tls`. */
  readonly clientCa?: string;
  /** The bearer token that is accepted. Without `token` and `clientCa` everybody is. */
  readonly token?: string;
  readonly clock?: Clock;
}

/** One request as it arrived. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Alternating names and values, as sent. */
  readonly rawHeaders: readonly string[];
  readonly upgrade: boolean;
  /** False once the answer is complete or the client has gone. */
  open: boolean;
  /** The client went away before the answer was complete. */
  aborted: boolean;
}

export interface FakeKubernetes {
  readonly url: string;
  readonly port: number;
  /** Oldest first; the last 10,000. */
  readonly requests: readonly ReceivedRequest[];
  /** Where commands run in pods: one folder per pod, `<folder>/<pod>`. */
  readonly folder: string;
  /** Creates or replaces an object; whoever watches gets an event. @param plural `pods`, `configmaps`, `deployments` … */
  put(plural: string, namespace: string, object: KubernetesObject): void;
  remove(plural: string, namespace: string, name: string): void;
  /** A running pod with one container. */
  addPod(name: string, namespace?: string): void;
  /** Appends a line to the log of every pod. */
  say(line: string): void;
  /** Cuts all connections and stops. */
  close(): Promise<void>;
}

/** Starts a kube-apiserver of test size: enough of the API for kubectl, real commands in its pods. */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<FakeKubernetes> {
  const clock = options.clock ?? systemClock;
  const store = new Store(() => clock.wallMs());
  const logs = new PodLogs();
  const exec = new Exec();
  const folder = mkdtempSync(join(tmpdir(), 'fake-kubernetes-'));
  const requests: ReceivedRequest[] = [];
  seed(store);
  logs.say('first line');

  const record = (request: IncomingMessage, done: ServerResponse | Duplex): void => {
    const received: ReceivedRequest = {
      method: request.method!,
      target: request.url!,
      rawHeaders: request.rawHeaders,
      upgrade: request.headers.upgrade !== undefined,
      open: true,
      aborted: false,
    };
    if (requests.length === 10_000) requests.shift();
    requests.push(received);
    done.on('close', () => {
      received.open = false;
      received.aborted = !done.writableFinished;
    });
  };
  const admits = (request: IncomingMessage): boolean => {
    if (options.token === undefined && options.clientCa === undefined) return true;
    if (options.token !== undefined && request.headers.authorization === `Bearer ${options.token}`) return true;
    return options.clientCa !== undefined && (request.socket as TLSSocket).authorized;
  };
  const podFolder = (name: string): string => {
    const path = join(folder, encodeURIComponent(name));
    mkdirSync(path, { recursive: true });
    return path;
  };

  const onRequest: RequestListener = (request, response) => {
    record(request, response);
    response.on('error', () => {});
    if (!admits(request)) return sendStatus(response, 401, 'Unauthorized', 'Unauthorized');
    const { pathname, searchParams } = new URL(request.url!, 'http://kube');
    if (pathname === '/healthz' || pathname === '/livez' || pathname === '/readyz') return void response.end('ok');
    if (serveLab(pathname, searchParams, request, response, clock) || serveDiscovery(pathname, response)) return;
    const at = parseResourcePath(pathname);
    if (at === undefined)
      return sendStatus(response, 404, 'NotFound', 'the server could not find the requested resource');
    if (at.subresource === 'log') return logs.serve(searchParams, response);
    if (at.subresource === 'exec') return sendStatus(response, 400, 'BadRequest', 'Upgrade request required');
    serveObjects({ store, clock }, at, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendStatus(response, 500, 'InternalError', errorText(error));
    });
  };
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    record(request, socket);
    socket.on('error', () => {});
    const { pathname } = new URL(request.url!, 'http://kube');
    const at = parseResourcePath(pathname);
    const target =
      at?.kind.kind === 'Pod' && at.name !== undefined ? store.get(at.kind, at.namespace, at.name) : undefined;
    if (!admits(request)) refuse(socket, 401, 'Unauthorized', 'Unauthorized');
    else if (at?.subresource !== 'exec' || target === undefined)
      refuse(socket, 404, 'NotFound', `pods "${at?.name ?? ''}" not found`);
    else if (request.headers.upgrade?.toLowerCase() !== 'websocket')
      refuse(socket, 400, 'BadRequest', 'unable to upgrade: only websocket is supported');
    else exec.serve(request, socket, head, podFolder(at.name!));
  };

  const server: Server = options.tls
    ? createTlsServer({
        ...options.tls,
        ...(options.clientCa === undefined
          ? {}
          : { ca: options.clientCa, requestCert: true, rejectUnauthorized: false }),
      })
    : createServer();
  server.requestTimeout = 0;
  server.on('request', onRequest);
  server.on('upgrade', onUpgrade);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { port, address } = server.address() as AddressInfo;
  const kindOf = (plural: string) => {
    const kind = findKind('', plural) ?? findKind('apps', plural);
    if (kind === undefined) throw new Error(`unknown kind: ${plural}`);
    return kind;
  };
  return {
    url: `${options.tls ? 'https' : 'http'}://${address}:${port}`,
    port,
    requests,
    folder,
    put: (plural, namespace, object) => void store.put(kindOf(plural), namespace, object),
    remove: (plural, namespace, name) => void store.remove(kindOf(plural), namespace, name),
    addPod: (name, namespace = 'default') => void store.put(kindOf('pods'), namespace, pod(name)),
    say: (line) => logs.say(line),
    close: async () => {
      exec.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function refuse(socket: Duplex, code: number, reason: string, message: string): void {
  const body = JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code,
  });
  socket.end(
    `HTTP/1.1 ${code} ${reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

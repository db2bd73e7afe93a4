import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Listen } from '../config/config.ts';
import type { Log } from '../observability/log.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { Arrivals } from './arrivals.ts';
import { ConnectionLog } from './connection_log.ts';
import { Farewells } from './farewells.ts';
import { type FrontLimits, Gate } from './gate.ts';
import { createHttp1Server, type Http1Handlers, type Http1Options } from './http1_server.ts';
import { createHttp2Front, type Http2Front, type Http2Options, type StreamHandler } from './http2_front.ts';
import { type Bind, bind } from './listen.ts';
import type { ByteCounts } from './session.ts';
import { sniffProtocol } from './sniff.ts';
import { handshakeFailed, openTls } from './tls.ts';

/** Who answers. Without `stream` a listener speaks HTTP/1.1 only, without `request` HTTP/2 only. */
export interface FrontHandlers extends Http1Handlers {
  readonly stream?: StreamHandler;
}

export interface FrontOptions {
  readonly listen: Listen;
  /** Where connections come from; default: a listening socket of this process. */
  readonly bind?: Bind | undefined;
  readonly handlers: FrontHandlers;
  readonly scope: Scope;
  readonly log: Log;
  /** Hears of HTTP/2 connections that come and go; undefined: nobody is told. */
  readonly grpcLog?: Log | undefined;
  readonly random: Random;
  readonly http1?: Http1Options;
  readonly http2?: Http2Options;
  /** Absent: as much as there is. */
  readonly limits?: FrontLimits;
  /** What a connection too many is told where there is no TLS, as bytes of HTTP/1.1; absent: nothing. */
  readonly overloaded?: string;
  /** What a TLS client gets that offers only unknown ALPN names: gRPC listeners refuse it (default), HTTP ones let it in. */
  readonly unknownAlpn?: 'refuse' | 'ignore';
}

/** A listener, and the connections that came through it. */
export interface Front {
  readonly network: string;
  /** As bound: `127.0.0.1:8150`, `[::]:8154`, a socket's path. */
  readonly address: string;
  /** Takes a connection that came another way, through a WebSocket, as HTTP/2. */
  accept(transport: Duplex & ByteCounts, remoteAddress: string, connection: Duplex): void;
  /** Somebody is known on this connection of HTTP/1.1, which may stay. Idempotent. */
  prove(connection: Duplex): void;
  /** HTTP/1.1 connections end with their next answer: whoever keeps some open for later is told in time. */
  retire(): void;
  /** Closes the listening sockets; connections go on. Resolves when there will be no further one. Idempotent. */
  stopAccepting(): Promise<void>;
  /**
   * GOAWAY to HTTP/2 clients, whose sessions are aged from then on; HTTP/1.1 connections close when they are idle. Resolves when all have been told: a few are
   * at once, many within the time, so that what runs meanwhile does not wait for it.
   */
  drain(withinMs: number): Promise<void>;
  /** Resolves when no connection is left; after `drain` that comes by itself, when requests are over. */
  whenIdle(): Promise<void>;
  /** Cuts what is left. Happens as well when the scope closes. */
  close(): void;
  /** What is open now; sessions and streams are HTTP/2's. */
  count(): { readonly connections: number; readonly sessions: number; readonly streams: number };
}

const UNWANTED_TLS =
  'the client speaks TLS and this listener does not; its URL may have https, wss or grpcs in place of http, ws or grpc';

/** After `drain`, HTTP/1.1 connections that have become idle are looked for this often. */
const IDLE_SWEEP_MS = 250;

/**
 * Opens one listener: cleartext or TLS, HTTP/1.1 and HTTP/2 told apart by ALPN or by the first bytes.
 * @throws AppError if the address cannot be bound or the certificate cannot be used.
 */
export async function openFront(options: FrontOptions): Promise<Front> {
  const { listen, handlers, log, random } = options;
  const scope = options.scope.child();
  const connections = new Set<Socket>();
  const waiters: (() => void)[] = [];
  const { limits } = options;
  const gate = limits && new Gate(limits, scope);
  const arrivals = new Arrivals();
  const farewells = new Farewells(options.overloaded, limits?.shared, scope);
  let retired = false;
  const http1Options: Http1Options = {
    ...options.http1,
    ...(limits && {
      headerBytes: limits.headerBytes,
      headTooLarge: limits.hits.headerBytes,
      headTooLate: limits.hits.newcomerTime,
    }),
    retiring: () => retired,
  };
  const http1 = handlers.request === undefined ? undefined : createHttp1Server(handlers, http1Options);
  const http2 =
    handlers.stream === undefined
      ? undefined
      : createHttp2Front(handlers.stream, options.http2 ?? {}, { scope, log, random, gate, limits });
  const connectionLog = options.grpcLog && new ConnectionLog(options.grpcLog, scope.clock);
  const enterHttp2 = (socket: Socket) => {
    if (http2 === undefined) socket.destroy();
    else acceptHttp2(http2, socket, connectionLog, listener.address);
  };
  const onTls = (socket: Socket) => handshakeFailed(log, listener.address, socket, UNWANTED_TLS);
  const route = createRouter({ http1, enterHttp2: http2 && enterHttp2, onTls, scope });
  const tls =
    listen.tls &&
    openTls({
      files: listen.tls,
      alpn: http2 && { offered: ['h2', 'http/1.1'], unknown: options.unknownAlpn ?? 'refuse' },
      scope,
      log,
      address: () => listener.address,
      handshakeTimeoutMs: limits?.newcomerMs,
      onTimeout: limits?.hits.newcomerTime,
      onSecure(socket) {
        socket.on('error', ignore);
        gate?.watch(socket);
        if (socket.alpnProtocol === 'h2') enterHttp2(socket);
        else route(socket);
      },
    });

  const listener = await (options.bind ?? bind)(listen, (socket) => {
    socket.on('error', ignore);
    if (gate?.arrive() === false) {
      farewells.refuse(socket, tls === undefined);
      return;
    }
    connections.add(socket);
    socket.on('close', () => {
      connections.delete(socket);
      gate?.left();
      if (connections.size === 0) for (const wake of waiters.splice(0)) wake();
    });
    arrivals.add(() => {
      if (gate?.enter() === false) farewells.say(socket, tls === undefined);
      else if (socket.destroyed) return;
      else if (tls !== undefined) tls.accept(socket);
      else {
        gate?.watch(socket);
        route(socket);
      }
    });
  });

  let stopped: Promise<void> | undefined;
  const sweepIdle = () => {
    http1?.closeIdleConnections();
    if (connections.size > 0) scope.timeout(IDLE_SWEEP_MS, sweepIdle);
  };
  const front: Front = {
    network: listen.network,
    address: listener.address,
    accept: (transport, remoteAddress, connection) => {
      if (http2 === undefined) transport.destroy();
      else {
        const fields = { net_address: listener.address, remote_address: remoteAddress, is_websocket: true };
        const watched = connectionLog?.watch(transport, fields);
        http2.accept(transport, remoteAddress, connection, watched);
      }
    },
    prove: (connection) => gate?.prove(connection),
    retire() {
      retired = true;
    },
    stopAccepting() {
      stopped ??= listener.close();
      return stopped;
    },
    async drain(withinMs) {
      await stopped; // connections that are handed over until the listener has closed are to hear of it too
      if (http1 !== undefined) sweepIdle();
      await http2?.drain(withinMs);
    },
    async whenIdle() {
      await stopped;
      if (connections.size > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
    close() {
      void front.stopAccepting();
      for (const socket of connections) socket.destroy();
      scope.close();
    },
    count: () => ({ connections: connections.size, ...(http2?.count() ?? { sessions: 0, streams: 0 }) }),
  };
  scope.own({ close: () => front.close() });
  return front;
}

/** Decides what speaks to a connection: what there is, or what the first bytes ask for if there are both. */
function createRouter(options: {
  readonly http1: Server | undefined;
  readonly enterHttp2: ((socket: Socket) => void) | undefined;
  /** Somebody begins with TLS where there is none; what he gets to hear is HTTP's matter. */
  readonly onTls: (socket: Socket) => void;
  readonly scope: Scope;
}): (socket: Socket | TLSSocket) => void {
  const { http1, enterHttp2, onTls, scope } = options;
  if (http1 === undefined) return enterHttp2 ?? ((socket) => socket.destroy());
  if (enterHttp2 === undefined) return (socket) => http1.emit('connection', socket);
  return (socket) =>
    sniffProtocol(socket, scope, (protocol) => {
      if (protocol === 'tls') onTls(socket);
      if (protocol === 'h2') enterHttp2(socket);
      else http1.emit('connection', socket);
    });
}

function acceptHttp2(http2: Http2Front, socket: Socket, log: ConnectionLog | undefined, address: string): void {
  socket.allowHalfOpen = false; // half a connection is none for HTTP/2
  if (socket.destroyed) return;
  const remoteAddress = socket.remoteAddress ?? '';
  const watched = log?.watch(socket, { net_address: address, remote_address: remoteAddress });
  http2.accept(socket, remoteAddress, socket, watched);
}

function ignore(): void {}

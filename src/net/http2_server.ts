import { constants, type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { connectionAge } from './connection_age.ts';
import type { FrontLimits, Gate } from './gate.ts';
import { KEEPALIVE_CHECK_MS } from './keepalive.ts';
import { Rounds } from './rounds.ts';
import { type ByteCounts, ManagedSession, type Session } from './session.ts';
import type { WindowBudget } from './windows.ts';

export type StreamHandler = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: string[],
  session: Session,
) => void;

export interface Http2Options {
  /** Absent: connections may get as old as they like. */
  readonly maxConnectionAgeMs?: number;
  /** Refuse clients that ping more often than every 20 s, as gRPC servers do; default false. */
  readonly limitPings?: boolean;
  /** Sizes the windows of streams by load; absent: small ones, for listeners to which little is sent. */
  readonly windows?: WindowBudget;
}

/** The HTTP/2 side of a listener: fed connections, it manages sessions and hands streams out. */
export interface Http2Front {
  /** @param connection as the gate knows it, when the transport is inside of something */
  accept(transport: Duplex & ByteCounts, remoteAddress: string, connection?: Duplex): void;
  /** GOAWAY for all, and all are aged. */
  drain(): void;
  count(): { readonly sessions: number; readonly streams: number };
}

interface Http2FrontDeps {
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
  readonly gate: Gate | undefined;
  readonly limits: FrontLimits | undefined;
}

/** The connection's window, that of all streams together: stalled streams do not use it up, so it can be large. */
const CONNECTION_WINDOW_BYTES = 16 << 20;
const SMALL_WINDOW_BYTES = 256 << 10;
/** Without limits: an agent holds hundreds of tunnels open on one connection. */
const MAX_STREAMS = 10_000;
/** Header lists: as much as a request's head may have on HTTP/1.1. */
const MAX_HEADER_LIST_BYTES = 1 << 20;
/** A stream's session, which has to hear of its end: one function for all streams. */
const owner = Symbol('session');
type OwnedStream = ServerHttp2Stream & { [owner]: ManagedSession };
/** Megabytes that one session may use before it refuses new streams; the default of 10 is used up by 10 large writes. */
const MAX_SESSION_MEMORY_MB = 256;

/** The sessions of one listener. No `http2.Server` is behind it: each session is made from its transport. */
export function createHttp2Front(
  onStream: StreamHandler,
  options: Http2Options,
  { scope, log, random, gate, limits }: Http2FrontDeps,
): Http2Front {
  const { windows, maxConnectionAgeMs } = options;
  const maxStreams = limits?.streamsPerConnection ?? MAX_STREAMS;
  const sessions = new Set<ManagedSession>();
  const rounds = new Rounds(scope, KEEPALIVE_CHECK_MS);
  let draining = false;

  return {
    accept(transport, remoteAddress, connection = transport) {
      const window = windows?.session((bytes, applied) => {
        if (!session.destroyed && !session.closed) session.settings({ initialWindowSize: bytes }, applied);
      });
      const session = performServerHandshake(transport, {
        settings: {
          enablePush: false,
          initialWindowSize: window?.bytes ?? SMALL_WINDOW_BYTES,
          maxConcurrentStreams: maxStreams,
          maxHeaderListSize: limits?.headerBytes ?? MAX_HEADER_LIST_BYTES,
        },
        maxHeaderListPairs: 4096,
        maxSessionMemory: MAX_SESSION_MEMORY_MB,
        // Every call that is cancelled, and every call that ends before its client is done, costs the client a reset. The
        // default of 33 a second ends the connections of busy agents.
        streamResetBurst: 10_000,
        streamResetRate: 1000,
      });
      const managed = new ManagedSession(session, scope.child(), {
        remoteAddress,
        transport,
        entrance: gate && { gate, connection },
        window,
        rounds,
        age: maxConnectionAgeMs === undefined ? undefined : connectionAge(maxConnectionAgeMs, random),
        limitPings: options.limitPings ?? false,
      });
      sessions.add(managed);
      session.once('close', () => sessions.delete(managed));
      session.setLocalWindowSize(windows === undefined ? 4 * SMALL_WINDOW_BYTES : CONNECTION_WINDOW_BYTES);
      session.on('stream', (stream, headers, _flags, rawHeaders) => {
        stream.on('error', ignore); // its end is told by 'close'
        if (managed.openStreams >= maxStreams) {
          // The runtime refuses them itself once the client has acknowledged our SETTINGS.
          stream.close(constants.NGHTTP2_REFUSED_STREAM);
          limits?.hits.streams();
          return;
        }
        managed.openStreams++;
        (stream as OwnedStream)[owner] = managed;
        stream.on('close', leaveSession);
        if (managed.openStreams === maxStreams) limits?.hits.streams();
        try {
          onStream(stream, headers, rawHeaders, managed);
        } catch (error) {
          log.error('Defect in a stream handler', {
            error: error instanceof Error ? error.stack : String(error),
            hint: Hint.defect,
          });
          if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        }
      });
      if (draining) managed.drain();
    },
    drain() {
      draining = true;
      for (const session of sessions) session.drain();
    },
    count() {
      let streams = 0;
      for (const session of sessions) streams += session.openStreams;
      return { sessions: sessions.size, streams };
    },
  };
}

function leaveSession(this: ServerHttp2Stream): void {
  (this as OwnedStream)[owner].openStreams--;
}

function ignore(): void {}

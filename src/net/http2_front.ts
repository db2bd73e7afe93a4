import type { IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { Connection, type ConnectionOptions } from '../http2/connection.ts';
import { ConnectionError } from '../http2/connection_error.ts';
import { ErrorCode } from '../http2/error_code.ts';
import type { HeaderList } from '../http2/header_list.ts';
import type { Stream } from '../http2/stream.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { connectionAge } from './connection_age.ts';
import type { WatchedConnection } from './connection_log.ts';
import type { FrontLimits, Gate } from './gate.ts';
import { KEEPALIVE_CHECK_MS } from './keepalive.ts';
import { Rounds } from './rounds.ts';
import { type ByteCounts, ManagedSession, type Session } from './session.ts';
import { inSlices } from './slices.ts';
import type { WindowBudget } from './windows.ts';

export type StreamHandler = (
  stream: Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: HeaderList,
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
  /**
   * @param connection as the gate knows it, when the transport is inside of something
   * @param watched hears of a client that breaks the protocol, or is sent away
   */
  accept(transport: Duplex & ByteCounts, remoteAddress: string, connection?: Duplex, watched?: WatchedConnection): void;
  /** GOAWAY for all, and all are aged: a few at once, many within the time. Resolves when all have been told. */
  drain(withinMs: number): Promise<void>;
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
/** Of those who are known, stalled uploads may hold as much together as a connection has ever had here; strangers wait for an answer first. */
const HELD_BYTES = { stranger: 1 << 20, known: 256 << 20 };
/** Without limits: an agent holds hundreds of tunnels open on one connection. */
const MAX_STREAMS = 10_000;
/** Header lists: as much as a request's head may have on HTTP/1.1. */
const MAX_HEADER_LIST_BYTES = 1 << 20;
/** Fields in one list. */
const MAX_HEADER_PAIRS = 4096;
/** An agent begins with a handful of streams, kubectl with a hundred; a stranger may not have thousands wait for us. */
const STRANGER_STREAMS = 250;
/**
 * Every call that is cancelled, and every call that ends before its client is done, costs the client a reset: busy agents have
 * thousands. Strangers have none.
 */
const FLOOD = { burst: 200, perSecond: 50 };
const TRUSTED_FLOOD = { burst: 10_000, perSecond: 1000 };

/** The sessions of one listener. */
export function createHttp2Front(
  onStream: StreamHandler,
  options: Http2Options,
  { scope, log, random, gate, limits }: Http2FrontDeps,
): Http2Front {
  const { windows, maxConnectionAgeMs } = options;
  const maxStreams = limits?.streamsPerConnection ?? MAX_STREAMS;
  const sessions = new Map<ManagedSession, Connection>();
  const rounds = new Rounds(scope, KEEPALIVE_CHECK_MS);
  let draining = false;
  /** Of all connections: only the window that they begin with changes now and then. */
  let common: ConnectionOptions = {
    role: 'server',
    clock: scope.clock,
    streamWindowBytes: SMALL_WINDOW_BYTES,
    connectionWindowBytes: windows === undefined ? 4 * SMALL_WINDOW_BYTES : CONNECTION_WINDOW_BYTES,
    heldBytes: HELD_BYTES,
    maxStreams,
    strangerStreams: STRANGER_STREAMS,
    headerList: { bytes: limits?.headerBytes ?? MAX_HEADER_LIST_BYTES, pairs: MAX_HEADER_PAIRS },
    flood: FLOOD,
    trustedFlood: TRUSTED_FLOOD,
  };

  return {
    accept(transport, remoteAddress, connection = transport, watched) {
      const window = windows?.session((bytes, applied) => link.setStreamWindow(bytes, applied));
      if (window !== undefined && window.bytes !== common.streamWindowBytes)
        common = { ...common, streamWindowBytes: window.bytes };
      const link = new Connection(
        transport,
        {
          request(stream, headers, list) {
            if (link.openStreams === maxStreams) limits?.hits.streams();
            try {
              onStream(stream, headers, list, managed);
            } catch (error) {
              log.error('Defect in a stream handler', {
                error: error instanceof Error ? error.stack : String(error),
                hint: Hint.defect,
              });
              stream.reset(ErrorCode.InternalError);
            }
          },
          refused: (limit) => (limit === 'headers' ? limits?.hits.headerBytes() : limits?.hits.streams()),
          pinged: () => managed.pinged(),
          closed(error) {
            if (error instanceof ConnectionError) watched?.broken(error);
            sessions.delete(managed);
            managed.ended();
          },
        },
        common,
      );
      const managed = new ManagedSession(link, scope.child(), {
        remoteAddress,
        transport,
        entrance: gate && { gate, connection },
        window,
        rounds,
        age: maxConnectionAgeMs === undefined ? undefined : connectionAge(maxConnectionAgeMs, random),
        limitPings: options.limitPings ?? false,
        onLeave: watched?.sentAway,
      });
      sessions.set(managed, link);
      if (draining) managed.drain();
    },
    drain(withinMs) {
      draining = true;
      return inSlices([...sessions.keys()], withinMs, scope, (session) => {
        if (sessions.has(session)) session.drain();
      });
    },
    count() {
      let streams = 0;
      for (const link of sessions.values()) streams += link.openStreams;
      return { sessions: sessions.size, streams };
    },
  };
}

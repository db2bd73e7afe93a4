import type { Socket } from 'node:net';
import type { NodeTokens } from '../auth/node_token.ts';
import { Connection } from '../http2/connection.ts';
import { ConnectionError } from '../http2/connection_error.ts';
import { ErrorCode } from '../http2/error_code.ts';
import type { Headers } from '../http2/stream.ts';
import { Keepalive } from '../net/keepalive.ts';
import type { OutgoingConnection, OutgoingLog } from '../net/outgoing_log.ts';
import type { Checked, Rounds } from '../net/rounds.ts';
import type { SessionWindow, WindowBudget } from '../net/windows.ts';
import { NowAndThen } from '../observability/now_and_then.ts';
import type { Backoff } from '../runtime/backoff.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { HUNG_UP } from './dial_failure.ts';
import { connectNode, type NodeEndpoint, type NodeTls } from './node_url.ts';
import { type Asker, type PeerLoad, PeerStream } from './peer_stream.ts';

export interface PeerOptions {
  readonly url: string;
  readonly endpoint: NodeEndpoint;
  readonly tls: NodeTls;
  readonly tokens: NodeTokens;
  readonly userAgent: string;
  readonly windows: WindowBudget;
  /** Of KEEPALIVE_CHECK_MS. */
  readonly rounds: Rounds;
  /** How long a node that could not be reached is left alone. */
  readonly backoff: Backoff;
  readonly clock: Clock;
  /** Undefined: nobody is told of connections. */
  readonly outgoing: OutgoingLog | undefined;
  /** The node cannot be reached, as an error or words say. @param news whether it could be, since this was called last */
  readonly onDown: (reason: unknown, news: boolean) => void;
  /** The connection has carried nothing for so long that it is closed. */
  readonly onIdle: () => void;
}

/** A node that takes longer is as good as down; the same time as gRPC clients in Go allow. */
const CONNECT_TIMEOUT_MS = 20_000;
/** A node that is there says at once whether it has a tunnel. One that does not is asked whether it is there at all. */
const ANSWER_MS = 1000;
const PONG_MS = 2000;
/** A timer is served before what has come while this process was busy: that is read first. */
const LATE_MS = 100;
/** Requests that wait for a node that has died without a word wait no longer than the sum. */
const PATIENCE = { silenceMs: 20_000, answerMs: 5000 };
/** Connections that carry nothing for longer are closed. */
const IDLE_MS = 60 * 60_000;
const CONNECTION_WINDOW_BYTES = 16 << 20;
const HELD_BYTES = { stranger: 256 << 20, known: 256 << 20 }; // we have chosen whom to ask
/** As many as we would take ourselves; the node says how many it takes. */
const MAX_STREAMS = 10_000;
const HEADER_LIST = { bytes: 1 << 20, pairs: 4096 };
/** A node that cancels thousands of calls at once is only busy. */
const FLOOD = { burst: 10_000, perSecond: 1000 };
const COMPLAIN_EVERY_MS = 60_000;

/** Another node, and the one HTTP/2 connection to its private API: opened when it is needed, and again when it was lost. */
export class Peer implements Checked, PeerLoad {
  readonly url: string;
  readonly #options: PeerOptions;
  #connection: Connection | undefined;
  #socket: Socket | undefined;
  #watched: OutgoingConnection | undefined;
  /** Its handshakes are done. */
  #reached = false;
  #window: SessionWindow | undefined;
  #keepalive = new Keepalive(0, PATIENCE);
  #leaveRounds = () => {};
  #streams = 0;
  #lastUsedMs: number;
  /** The node is left alone until then. */
  #downUntilMs = 0;
  #downTold = false;
  /** Since the node has last answered anything. */
  #unanswered = 0;
  #answerTimer: Timer | undefined;
  #pong: Timer | undefined;
  /** Whether what the node answers wrongly may be told of. */
  readonly complaints: NowAndThen;

  constructor(options: PeerOptions) {
    this.url = options.url;
    this.#options = options;
    this.complaints = new NowAndThen(options.clock, COMPLAIN_EVERY_MS);
    this.#lastUsedMs = options.clock.monotonicMs();
  }

  /** How long the node is to be left alone, in milliseconds; 0: it may be asked. */
  get restMs(): number {
    return Math.max(0, this.#downUntilMs - this.#options.clock.monotonicMs());
  }

  /** Nobody has used it for so long that it can be forgotten. */
  get forgotten(): boolean {
    return this.#streams === 0 && this.#options.clock.monotonicMs() - this.#lastUsedMs > IDLE_MS;
  }

  /** Asks for a tunnel; `asker` hears what comes of it, but not before this returns. */
  ask(path: string, metadata: Headers, asker: Asker): PeerStream {
    const connection = this.#connection ?? this.#connect();
    this.#lastUsedMs = this.#options.clock.monotonicMs();
    const { endpoint } = this.#options;
    const stream = connection.request({
      ':method': 'POST',
      ':scheme': endpoint.kind === 'tls' ? 'https' : 'http',
      ':authority': endpoint.authority,
      ':path': path,
      'content-type': 'application/grpc+proto',
      'user-agent': this.#options.userAgent,
      te: 'trailers',
      'grpc-accept-encoding': 'gzip',
      authorization: `Bearer ${this.#options.tokens.next()}`,
      ...metadata,
    });
    this.#streams++;
    this.#unanswered++;
    this.#answerTimer ??= this.#options.clock.startTimer(ANSWER_MS, () => this.#noAnswer());
    return new PeerStream(stream, this, asker);
  }

  answered(): void {
    this.#unanswered = 0;
    this.#downUntilMs = 0;
    this.#downTold = false;
    this.#pong?.stop();
    this.#pong = undefined;
  }

  streamClosed(): void {
    this.#streams--;
  }

  streamBusy(): void {
    this.#window?.streamBusy();
  }

  streamIdle(): void {
    this.#window?.streamIdle();
  }

  /** For the rounds. */
  check(nowMs: number): void {
    const connection = this.#connection;
    if (connection === undefined || connection.destroyed) return;
    const verdict = this.#keepalive.check(nowMs, this.#socket?.bytesRead ?? 0);
    if (verdict === 'dead') this.#lost('keepalive ping failed to receive ACK within timeout');
    else if (verdict === 'ping') connection.ping();
    this.#window?.grow();
    if (!this.forgotten) return;
    this.#options.onIdle();
    this.close();
  }

  close(): void {
    this.#answerTimer?.stop();
    this.#answerTimer = undefined;
    this.#pong?.stop();
    this.#pong = undefined;
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#forget(connection);
    connection.destroy();
  }

  #connect(): Connection {
    const { url, endpoint, tls, windows, rounds, clock, outgoing } = this.#options;
    const socket = connectNode(endpoint, tls);
    const watched = outgoing?.watch(socket, { kas_url: url });
    const window = windows.session((bytes, applied) => connection.setStreamWindow(bytes, applied));
    const timer = clock.startTimer(CONNECT_TIMEOUT_MS, () => this.#lost('connecting took too long'));
    this.#reached = false;
    socket.once(endpoint.kind === 'tls' ? 'secureConnect' : 'connect', () => {
      timer.stop();
      watched?.opened();
      if (this.#socket === socket) this.#reached = true;
    });
    // What a node says first; whatever else may listen there says something else, or nothing.
    let greeted = false;
    const connection = new Connection(
      socket,
      {
        greeted() {
          greeted = true;
        },
        leaving: (code, debug) => {
          watched?.sentAway(code, debug);
          // Streams that are open go on, but there will be no new ones.
          if (code === ErrorCode.NoError) this.#forget(connection);
          else this.#lost(new ConnectionError(code, `the node has said GOAWAY with code ${code} ${debug}`.trim()));
        },
        closed: (error) => {
          timer.stop();
          window.close();
          const reason = error ?? (greeted ? undefined : HUNG_UP);
          if (reason !== undefined) watched?.lost(reason);
          if (this.#connection !== connection) return; // we have ended it, or it has said goodbye
          this.#forget(connection);
          if (reason !== undefined) this.#lost(reason);
        },
      },
      {
        role: 'client',
        clock,
        streamWindowBytes: window.bytes,
        connectionWindowBytes: CONNECTION_WINDOW_BYTES,
        heldBytes: HELD_BYTES,
        maxStreams: MAX_STREAMS,
        headerList: HEADER_LIST,
        flood: FLOOD,
      },
    );
    this.#connection = connection;
    this.#socket = socket;
    this.#watched = watched;
    this.#window = window;
    this.#keepalive = new Keepalive(clock.monotonicMs(), PATIENCE);
    this.#leaveRounds = rounds.add(this);
    return connection;
  }

  #forget(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#leaveRounds();
  }

  #noAnswer(): void {
    this.#answerTimer = undefined;
    if (this.#unanswered > 0) this.#suspect();
  }

  /** It does not answer: is it there? */
  #suspect(): void {
    const connection = this.#connection;
    if (connection === undefined || !this.#reached || this.#pong !== undefined) return;
    const { clock } = this.#options;
    this.#pong = clock.startTimer(PONG_MS, () => {
      this.#pong = clock.startTimer(LATE_MS, () => {
        this.#pong = undefined;
        this.#lost('the node does not answer');
      });
    });
    connection.ping((error) => {
      if (error !== undefined) return;
      this.#pong?.stop();
      this.#pong = undefined;
    });
  }

  #lost(reason: unknown): void {
    this.#downUntilMs = this.#options.clock.monotonicMs() + this.#options.backoff.nextMs();
    this.#watched?.lost(reason);
    this.#options.onDown(reason, !this.#downTold);
    this.#downTold = true;
    this.close();
  }
}

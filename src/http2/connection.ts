import type { IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { Clock } from '../runtime/clock.ts';
import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { FloodGuard, type FloodLimit } from './flood_guard.ts';
import { CLIENT_PREFACE, Flag, FrameType, goAwayPayload, MAX_FRAME_BYTES } from './frame.ts';
import {
  checkPing,
  onConnection,
  priorityError,
  readGoAway,
  readReset,
  readWindowUpdate,
  withoutPadding,
} from './frame_payloads.ts';
import { FrameReader, type FrameSink } from './frame_reader.ts';
import { type HeaderBlock, HeaderBlocks, type HeaderListLimit, HeadersTooLarge } from './header_blocks.ts';
import { type HeaderList, MalformedHeaders, requestHeaders, responseHeaders, trailerHeaders } from './header_list.ts';
import { encodeHeaders } from './hpack/encoder.ts';
import { Lingering } from './lingering.ts';
import { Receiving, type ReceivingOptions } from './receiving.ts';
import { Sending } from './sending.ts';
import { newPeerSettings, readSettings } from './settings.ts';
import { type Headers, Stream } from './stream.ts';

/** Who uses a connection. */
export interface ConnectionHandler {
  /** Where we are the server: a request. `list` has the headers as they came. The stream is paused; `open` and `resume` it. */
  request?(stream: Stream, headers: IncomingHttpHeaders, list: HeaderList): void;
  /** A request, or its connection, was refused because of a limit. */
  refused?(limit: 'headers' | 'streams'): void;
  /** The peer has sent its first SETTINGS. */
  greeted?(): void;
  pinged?(): void;
  /** The peer wants no new streams. */
  leaving?(code: number, debug: string): void;
  /** Once, last. `error`: undefined if both sides were done with it. */
  closed(error: Error | undefined): void;
}

export interface ConnectionOptions extends ReceivingOptions {
  readonly role: 'server' | 'client';
  readonly clock: Clock;
  /** Streams that a client may have open at once. */
  readonly maxStreams: number;
  /** The same, as long as the peer is not known; default: `maxStreams`. */
  readonly strangerStreams?: number;
  /** Requests that a client makes before it takes another connection: numbers of streams end. Default: 2^30. */
  readonly maxRequests?: number;
  readonly headerList: HeaderListLimit;
  /** Of frames that carry nothing. */
  readonly flood: FloodLimit;
  /** The same, once the peer is known. */
  readonly trustedFlood?: FloodLimit;
}

/** A peer that does not read what it makes us answer is no peer. */
const MAX_WAITING_BYTES = 1 << 20;
/** Nor one that goes on asking while so much waits for it; bodies of answers are not among it, they wait in their streams. */
const MAX_UNREAD_BYTES = 8 << 20;
/** Streams of a client have the odd numbers below 2^31 (RFC 9113, 5.1.1). */
const MAX_REQUESTS = 2 ** 30;
/** Frames of unknown types: larger ones cost their sender more than us. */
const SMALL_FRAME_BYTES = 1 << 10;
/** After the last byte has left, a peer gets so long to close the connection itself: closed by us, it could lose that byte. */
const FAREWELL_MS = 100;
/** The last byte has so long to leave. */
const LEAVING_MS = 20_000;
/** … to a peer that is sent away. */
const SENT_AWAY_MS = 1000;
/** Whoever floods us is not listened to for so long before the connection ends: he would only come back, and sooner. */
const SHUT_OUT_MS = 1000;
/** Streams that the peer itself has ended are remembered, so that it can be told of what it still sends on them. */
const REMEMBERED_STREAMS = 16;
const NOTHING = Buffer.alloc(0);
/** A server opens none. */
const NO_STREAMS = new Map<Stream, Headers>();
const OUR_PING = Buffer.from('keepaliv', 'latin1');

/**
 * One connection of HTTP/2 (RFC 9113), over any transport. Bytes are read as they come and handed to their streams without a copy;
 * what is sent in one turn of the event loop leaves in one write. Node's own HTTP/2 costs several times as much for each stream,
 * and keeps 24 KiB for each connection (docs/performance.md).
 */
export class Connection implements FrameSink {
  readonly isServer: boolean;
  readonly #transport: Duplex;
  readonly #handler: ConnectionHandler;
  readonly #options: ConnectionOptions;
  readonly #sending: Sending;
  readonly #receiving: Receiving;
  readonly #reader = new FrameReader(this);
  readonly #blocks: HeaderBlocks;
  readonly #flood: FloodGuard;
  readonly #streams = new Map<number, Stream>();
  readonly #peer = newPeerSettings();
  /** Of the client's preface, what has not come yet. */
  #prefaceLeft: number;
  #greeted = false;
  /** The last stream that the client has opened: the peer, or we. */
  #lastStreamId: number;
  /** What GOAWAY said: later streams of the peer are not looked at. */
  #lastServedId: number | undefined;
  #mayOpen: number;
  /** How many the peer has been told of. */
  #toldOpen: number;
  #trusted = false;
  /** Requests beyond what the server takes at once. */
  readonly #unopened: Map<Stream, Headers>;
  readonly #pings: ((error: Error | undefined) => void)[] = [];
  readonly #endedByPeer: number[] = [];
  readonly #lingering: Lingering;
  #closing = false;
  #destroyed = false;
  #error: Error | undefined;

  /** @param transport is the connection's own from now on */
  constructor(transport: Duplex, handler: ConnectionHandler, options: ConnectionOptions) {
    this.isServer = options.role === 'server';
    this.#transport = transport;
    this.#handler = handler;
    this.#options = options;
    this.#sending = new Sending(transport);
    this.#receiving = new Receiving(options, this.#sending.output);
    this.#lingering = new Lingering(options.clock);
    this.#blocks = new HeaderBlocks(options.headerList);
    this.#flood = new FloodGuard(options.flood, options.clock.monotonicMs());
    this.#unopened = this.isServer ? NO_STREAMS : new Map();
    this.#prefaceLeft = this.isServer ? CLIENT_PREFACE.length : 0;
    this.#lastStreamId = this.isServer ? 0 : -1;
    this.#mayOpen = Math.min(options.strangerStreams ?? options.maxStreams, options.maxStreams);
    this.#toldOpen = this.#mayOpen;
    this.#greet();
    transport.on('data', (chunk: Buffer) => this.#push(chunk));
    transport.on('error', (error) => {
      this.#error ??= error;
    });
    transport.on('end', () => this.#over());
    transport.on('close', () => this.#over());
    if (transport.destroyed) process.nextTick(() => this.#over());
  }

  #greet(): void {
    if (!this.isServer) this.#sending.output.bytes(CLIENT_PREFACE);
    this.#receiving.greet({
      maxHeaderListBytes: this.#options.headerList.bytes,
      enablePush: false,
      ...(this.isServer && { maxConcurrentStreams: this.#toldOpen }),
    });
  }

  /** Nothing is sent or received any more. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Streams that are open, or wait for their turn. */
  get openStreams(): number {
    return this.#streams.size + this.#unopened.size;
  }

  /** `answered` hears once. */
  ping(answered: (error: Error | undefined) => void = ignore): void {
    if (this.#destroyed) answered(this.#lost());
    else {
      this.#pings.push(answered);
      this.#sending.output.frame(FrameType.Ping, 0, 0, OUR_PING);
    }
  }

  /** Somebody is known on the connection, who may be busier than a stranger. */
  trust(): void {
    const { trustedFlood, maxStreams } = this.#options;
    this.#trusted = true;
    this.#mayOpen = maxStreams;
    this.#receiving.trust();
    this.#tellMayOpen();
    if (trustedFlood !== undefined) this.#flood.relax(trustedFlood);
  }

  /** Who is known may open more streams than he was told of as a stranger; few ever need to know. */
  #tellMayOpen(): void {
    if (this.#toldOpen >= this.#mayOpen || this.#streams.size * 2 < this.#toldOpen) return;
    this.#toldOpen = this.#mayOpen;
    this.#receiving.tell({ maxConcurrentStreams: this.#toldOpen });
  }

  /** Gives streams another window, in bytes. `applied` is called when the peer knows. */
  setStreamWindow(bytes: number, applied: () => void): void {
    if (!this.#destroyed) this.#receiving.tell({ initialWindowBytes: bytes }, applied);
  }

  /**
   * GOAWAY: streams that are open go on, there will be no new ones, and the connection ends after the last. Idempotent.
   * @param why for the peer's log
   */
  close(why = ''): void {
    if (this.#closing || this.#destroyed) return;
    this.#closing = true;
    this.#sendGoAway(ErrorCode.NoError, why);
    this.#endIfIdle();
  }

  /** Sends the peer away, and says why. */
  fail(code: number, reason: string): void {
    if (this.#destroyed) return;
    this.#error ??= new ConnectionError(code, reason);
    this.#sendGoAway(code, reason);
    if (code === ErrorCode.EnhanceYourCalm) this.#shutOut();
    else this.#leave(SENT_AWAY_MS);
  }

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    if (this.#destroyed) return;
    this.#error ??= error;
    this.#sendGoAway(ErrorCode.NoError, '');
    this.#sending.output.flush();
    this.#over();
  }

  /**
   * Opens a stream, where we are the client. It waits for its turn if the server takes no more.
   * @param headers the pseudo-headers among them
   */
  request(headers: Headers): Stream {
    const stream = new Stream(this, 0, 0, 0);
    if (this.#closing || this.#destroyed) process.nextTick(() => stream.close(ErrorCode.RefusedStream));
    else if (this.#isFull) this.#unopened.set(stream, headers);
    else this.#open(stream, headers);
    return stream;
  }

  // ---- for streams

  get receiving(): Receiving {
    return this.#receiving;
  }

  get sending(): Sending {
    return this.#sending;
  }

  sendWindowUpdate(streamId: number, bytes: number): void {
    this.#sending.output.numberFrame(FrameType.WindowUpdate, streamId, bytes);
  }

  sendReset(streamId: number, code: number): void {
    this.#sending.output.numberFrame(FrameType.RstStream, streamId, code);
  }

  /** The stream's answer is complete, its request is not. */
  linger(stream: Stream): void {
    this.#lingering.add(stream);
  }

  /** An answer is complete. Those to strangers count, who have been refused, or have asked for what is there for everybody. */
  served(): void {
    if (!this.isServer || this.#trusted || this.#flood.allow(this.#options.clock)) return;
    this.fail(ErrorCode.EnhanceYourCalm, 'too many requests of nobody who is known');
  }

  /** The stream is over. */
  forget(stream: Stream): void {
    this.#sending.forget(stream);
    if (stream.id === 0) this.#unopened.delete(stream);
    else this.#streams.delete(stream.id);
  }

  /** A stream was forgotten, and whoever used it has been told. */
  goOn(): void {
    if (this.#destroyed) return;
    this.#openNext();
    this.#endIfIdle();
  }

  #open(stream: Stream, headers: Headers): void {
    this.#lastStreamId += 2;
    stream.begin(this.#lastStreamId, this.#peer.initialWindowBytes, this.#receiving.initialWindow);
    this.#streams.set(stream.id, stream);
    this.#sending.headers(stream.id, encodeHeaders(headers), false);
    if (this.#lastStreamId + 1 >= 2 * (this.#options.maxRequests ?? MAX_REQUESTS)) this.#retire();
  }

  /** There are no more numbers for streams: as if the server had said GOAWAY. */
  #retire(): void {
    this.close();
    this.#handler.leaving?.(ErrorCode.NoError, '');
    for (const stream of [...this.#unopened.keys()]) stream.close(ErrorCode.RefusedStream);
  }

  /** The server takes no more streams now. */
  get #isFull(): boolean {
    return this.#streams.size >= this.#peer.maxConcurrentStreams;
  }

  #openNext(): void {
    if (this.#isFull) return; // not even to look for the first: that takes long after many have been given up
    for (const [stream, headers] of this.#unopened) {
      if (this.#isFull) return;
      this.#unopened.delete(stream);
      this.#open(stream, headers);
      if (!stream.sendQueued()) this.#sending.wait(stream);
    }
  }

  // ---- the end

  #sendGoAway(code: number, debug: string): void {
    this.#lastServedId ??= this.isServer ? this.#lastStreamId : 0;
    const payload = goAwayPayload(this.#lastServedId, code, debug);
    this.#sending.output.frame(FrameType.GoAway, 0, 0, payload);
  }

  #endIfIdle(): void {
    if (this.#closing && this.openStreams === 0 && !this.#destroyed) this.#leave();
  }

  /** Everything has been said: lets the transport send it, and closes it then. */
  #leave(limitMs = LEAVING_MS): void {
    const transport = this.#transport;
    const { clock } = this.#options;
    this.#sending.output.flush();
    this.#over(() => {
      let late = clock.startTimer(limitMs, () => transport.destroy());
      transport.once('close', () => late.stop());
      transport.end(() => {
        late.stop();
        if (!transport.destroyed) late = clock.startTimer(FAREWELL_MS, () => transport.destroy());
      });
    });
  }

  /** The peer has been told why; the rest of what it has sent is left where it is. */
  #shutOut(): void {
    const transport = this.#transport;
    this.#sending.output.flush();
    transport.pause();
    this.#over(() => {
      const end = this.#options.clock.startTimer(SHUT_OUT_MS, () => transport.destroy());
      transport.once('close', () => end.stop());
    });
  }

  #over(end: () => void = () => this.#transport.destroy()): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#reader.stop();
    this.#receiving.stop();
    this.#lingering.stop();
    end();
    for (const stream of [...this.#streams.values(), ...this.#unopened.keys()]) stream.close(ErrorCode.Cancel);
    for (const answered of this.#pings.splice(0)) answered(this.#lost());
    this.#handler.closed(this.#error);
  }

  #lost(): Error {
    return this.#error ?? new ConnectionError(ErrorCode.NoError, 'the connection has ended');
  }

  // ---- receiving

  #push(chunk: Buffer): void {
    if (this.#destroyed) return;
    try {
      const rest = this.#prefaceLeft > 0 ? this.#afterPreface(chunk) : chunk;
      if (rest.length > 0) this.#reader.push(rest);
    } catch (error) {
      if (error instanceof HeadersTooLarge) this.#handler.refused?.('headers');
      if (error instanceof ConnectionError) this.fail(error.code, error.message);
      else {
        this.fail(ErrorCode.InternalError, '');
        throw error;
      }
    }
  }

  #afterPreface(chunk: Buffer): Buffer {
    const start = CLIENT_PREFACE.length - this.#prefaceLeft;
    const length = Math.min(this.#prefaceLeft, chunk.length);
    if (!chunk.subarray(0, length).equals(CLIENT_PREFACE.subarray(start, start + length))) {
      throw new ConnectionError(ErrorCode.ProtocolError, 'this is not HTTP/2');
    }
    this.#prefaceLeft -= length;
    return chunk.subarray(length);
  }

  begun(type: number, flags: number, streamId: number, length: number): boolean {
    if (!this.#greeted && (type !== FrameType.Settings || (flags & Flag.Ack) !== 0)) {
      throw new ConnectionError(ErrorCode.ProtocolError, 'this is not HTTP/2, in which SETTINGS come first');
    }
    const { unfinished } = this.#blocks;
    if (unfinished !== undefined && (type !== FrameType.Continuation || streamId !== unfinished)) {
      throw new ConnectionError(ErrorCode.ProtocolError, 'a header block goes on without a break');
    }
    if (type === FrameType.Data) return this.#dataBegun(flags, streamId, length);
    if (type <= FrameType.Continuation) return true;
    if (length < SMALL_FRAME_BYTES) this.#countIdle();
    return false;
  }

  frameTooLong(): void {
    if (!this.#greeted) throw new ConnectionError(ErrorCode.ProtocolError, 'this is not HTTP/2');
    throw new ConnectionError(ErrorCode.FrameSizeError, `frames have ${MAX_FRAME_BYTES} bytes at the most`);
  }

  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === FrameType.Data) this.#paddedData(flags, streamId, payload);
    else if (type === FrameType.Headers) this.#take(this.#blocks.headers(flags, streamId, payload));
    else if (type === FrameType.Continuation) this.#take(this.#blocks.continuation(flags, payload));
    else if (type === FrameType.Priority) this.#prioritized(streamId, payload);
    else if (type === FrameType.RstStream) this.#reset(streamId, payload);
    else if (type === FrameType.Settings) this.#settings(flags, streamId, payload);
    else if (type === FrameType.Ping) this.#ping(flags, streamId, payload);
    else if (type === FrameType.GoAway) this.#goAway(streamId, payload);
    else if (type === FrameType.WindowUpdate) this.#windowUpdate(streamId, payload);
    else throw new ConnectionError(ErrorCode.ProtocolError, 'nothing is to be pushed');
  }

  // ---- DATA

  #dataBegun(flags: number, streamId: number, length: number): boolean {
    this.#mustHaveBegun(streamId, 'DATA');
    this.#receiving.count(length);
    if (length === 0 && (flags & Flag.EndStream) === 0) this.#countIdle();
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // Without our memory of its end it may have been ended by us, and this was under way.
      if (this.#endedByPeer.includes(streamId)) this.#refuse(streamId, ErrorCode.StreamClosed);
      return (flags & Flag.Padded) !== 0; // more padding than frame is an error in any case
    }
    if (stream.remoteEnded) this.#punish(stream, ErrorCode.StreamClosed);
    else if (!stream.admit(length)) this.#punish(stream, ErrorCode.FlowControlError);
    else if (!this.isServer && !stream.answered) this.#punish(stream, ErrorCode.ProtocolError);
    return !stream.over;
  }

  data(streamId: number, chunk: Buffer, end: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (chunk.length > 0 && !stream.receive(chunk)) this.#punish(stream, ErrorCode.ProtocolError);
    else if (end) this.#streamEnds(stream);
  }

  #paddedData(flags: number, streamId: number, payload: Buffer): void {
    const content = withoutPadding(flags, payload);
    if (payload.length > 0 && content.length === 0 && (flags & Flag.EndStream) === 0) this.#countIdle();
    this.#streams.get(streamId)?.skip(payload.length - content.length);
    this.data(streamId, content, (flags & Flag.EndStream) !== 0);
  }

  #streamEnds(stream: Stream): void {
    if (stream.over) return;
    this.#remember(stream.id);
    if (!stream.receiveEnd()) this.#punish(stream, ErrorCode.ProtocolError);
  }

  // ---- HEADERS

  #take(block: HeaderBlock | undefined): void {
    if (block === undefined) return;
    const stream = this.#streams.get(block.streamId);
    if (stream !== undefined) this.#moreHeaders(stream, block);
    else if (this.isServer) this.#newRequest(block);
    else this.#mustHaveBegun(block.streamId, 'HEADERS');
  }

  #newRequest({ streamId, end, list }: HeaderBlock): void {
    if (streamId <= this.#lastStreamId) {
      if (this.#endedByPeer.includes(streamId))
        throw new ConnectionError(ErrorCode.StreamClosed, 'this stream has ended');
      if (list?.[0]?.startsWith(':') === true)
        throw new ConnectionError(ErrorCode.ProtocolError, 'streams begin in the order of their numbers');
      return; // else we have ended it, and these trailers were under way
    }
    this.#lastStreamId = streamId;
    if (this.#lastServedId !== undefined) return; // GOAWAY has told the peer that it is not looked at
    if (this.#sending.output.waitingBytes > MAX_UNREAD_BYTES)
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, 'answers that nobody reads');
    if (list === undefined) {
      this.#refuse(streamId, ErrorCode.EnhanceYourCalm);
      this.#handler.refused?.('headers');
      return;
    }
    if (this.#streams.size >= this.#mayOpen) {
      this.#refuse(streamId, ErrorCode.RefusedStream);
      this.#handler.refused?.('streams');
      return;
    }
    const headers = wellFormed(() => requestHeaders(list));
    const stream = new Stream(this, streamId, this.#peer.initialWindowBytes, this.#receiving.initialWindow);
    if (headers === undefined || !stream.promise(headers['content-length'])) {
      this.#refuse(streamId, ErrorCode.ProtocolError);
      return;
    }
    this.#streams.set(streamId, stream);
    this.#tellMayOpen();
    if (end) this.#streamEnds(stream);
    if (!stream.closed) this.#handler.request?.(stream, headers, list);
  }

  #moreHeaders(stream: Stream, { end, list }: HeaderBlock): void {
    if (stream.remoteEnded) this.#punish(stream, ErrorCode.StreamClosed);
    else if (list === undefined) this.#punish(stream, ErrorCode.EnhanceYourCalm);
    else if (this.isServer || stream.answered) this.#trailers(stream, list, end);
    else this.#answer(stream, list, end);
  }

  #answer(stream: Stream, list: HeaderList, end: boolean): void {
    const headers = wellFormed(() => responseHeaders(list));
    const status = Number(headers?.[':status']);
    if (status < 200 && status !== 101 && !end) return; // an interim answer
    if (headers === undefined || status < 200 || !stream.promise(headers['content-length'])) {
      this.#punish(stream, ErrorCode.ProtocolError);
      return;
    }
    stream.answered = true;
    stream.receiveHeaders({ headers });
    if (end) this.#streamEnds(stream);
  }

  #trailers(stream: Stream, list: HeaderList, end: boolean): void {
    const trailers = wellFormed(() => trailerHeaders(list));
    if (trailers === undefined || !end) {
      this.#punish(stream, ErrorCode.ProtocolError);
      return;
    }
    stream.receiveHeaders({ trailers });
    this.#streamEnds(stream);
  }

  /** Says no to a stream that nobody has seen. */
  #refuse(streamId: number, code: number): void {
    this.#countIdle();
    this.sendReset(streamId, code);
  }

  /** Ends a stream on which the peer has broken a rule. That costs him nothing, so it counts, like a reset of his own. */
  #punish(stream: Stream, code: number): void {
    stream.cut(code);
    this.#countIdle();
  }

  #remember(streamId: number): void {
    if (!this.isServer) return;
    if (this.#endedByPeer.length >= REMEMBERED_STREAMS) this.#endedByPeer.shift();
    this.#endedByPeer.push(streamId);
  }

  #mustHaveBegun(streamId: number, frame: string): void {
    if (streamId === 0 || streamId > this.#lastStreamId || streamId % 2 === 0) {
      throw new ConnectionError(ErrorCode.ProtocolError, `${frame} on a stream that has not begun`);
    }
  }

  // ---- other frames

  #prioritized(streamId: number, payload: Buffer): void {
    const code = priorityError(streamId, payload);
    this.#countIdle();
    if (code === undefined) return;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) this.sendReset(streamId, code);
    else stream.cut(code); // counted above
  }

  #reset(streamId: number, payload: Buffer): void {
    const code = readReset(streamId, payload);
    this.#mustHaveBegun(streamId, 'RST_STREAM');
    const stream = this.#streams.get(streamId);
    // Clients in Go reset each stream that is answered before they have ended it: only work that was for nothing counts, and
    // resets of nothing at all, unless somebody is known.
    const vain = stream === undefined ? this.isServer && !this.#trusted : !stream.localEnded;
    if (vain) this.#countIdle();
    this.#remember(streamId);
    stream?.receiveReset(code);
  }

  #settings(flags: number, streamId: number, payload: Buffer): void {
    onConnection(streamId, 'SETTINGS');
    if ((flags & Flag.Ack) !== 0) {
      this.#settingsAcknowledged(payload);
      return;
    }
    this.#countIdle();
    const windowBefore = this.#peer.initialWindowBytes;
    readSettings(payload, this.#peer);
    this.#sending.limitTable(this.#peer.headerTableBytes);
    this.#sending.output.frame(FrameType.Settings, Flag.Ack, 0, NOTHING);
    this.#sending.resizeStreams(this.#streams.values(), this.#peer.initialWindowBytes - windowBefore);
    if (!this.#greeted) {
      this.#greeted = true;
      this.#handler.greeted?.();
    }
    this.#openNext();
  }

  #settingsAcknowledged(payload: Buffer): void {
    if (payload.length > 0) throw new ConnectionError(ErrorCode.FrameSizeError, 'an acknowledgement is empty');
    if (!this.#receiving.acknowledged(this.#streams.values())) this.#countIdle(); // nobody has asked for it
  }

  #ping(flags: number, streamId: number, payload: Buffer): void {
    checkPing(streamId, payload);
    if ((flags & Flag.Ack) !== 0) {
      const answered = this.#pings.shift();
      if (answered === undefined) this.#countIdle();
      else answered(undefined);
      return;
    }
    // Peers measure the way with a ping for what they get: that is no flood.
    if (!this.#sending.dataSent) this.#countIdle();
    this.#sending.dataSent = false;
    this.#sending.output.frame(FrameType.Ping, Flag.Ack, 0, payload);
    this.#handler.pinged?.();
  }

  #goAway(streamId: number, payload: Buffer): void {
    const { lastStreamId, code, debug } = readGoAway(streamId, payload);
    this.#countIdle();
    this.#closing = true;
    if (code !== ErrorCode.NoError)
      this.#error ??= new ConnectionError(code, `the peer has said GOAWAY ${debug}`.trim());
    this.#handler.leaving?.(code, debug);
    if (!this.isServer) {
      const unseen = [...this.#streams.values()].filter((stream) => stream.id > lastStreamId);
      for (const stream of [...unseen, ...this.#unopened.keys()]) stream.close(ErrorCode.RefusedStream);
    }
    this.#endIfIdle();
  }

  #windowUpdate(streamId: number, payload: Buffer): void {
    const bytes = readWindowUpdate(payload);
    if (streamId === 0) {
      this.#sending.enlarge(bytes);
      return;
    }
    this.#mustHaveBegun(streamId, 'WINDOW_UPDATE');
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (bytes === 0) throw new ConnectionError(ErrorCode.ProtocolError, 'WINDOW_UPDATE of nothing');
    } else if (bytes === 0) this.#punish(stream, ErrorCode.ProtocolError);
    else if (!this.#sending.enlargeStream(stream, bytes)) this.#punish(stream, ErrorCode.FlowControlError);
  }

  /** A frame that carries nothing: so many may come, and the peer has to read our answers. @throws ConnectionError */
  #countIdle(): void {
    const flood = !this.#flood.allow(this.#options.clock) || this.#sending.output.waitingBytes > MAX_WAITING_BYTES;
    if (flood) throw new ConnectionError(ErrorCode.EnhanceYourCalm, 'too many frames that carry nothing');
  }
}

/** Undefined if the headers break the rules. */
function wellFormed(read: () => IncomingHttpHeaders): IncomingHttpHeaders | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedHeaders) return undefined;
    throw error;
  }
}

function ignore(): void {}

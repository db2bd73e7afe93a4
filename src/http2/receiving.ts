import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { FrameType } from './frame.ts';
import type { Output } from './output.ts';
import { DEFAULT_WINDOW_BYTES, type OurSettings, settingsPayload } from './settings.ts';
import type { Stream } from './stream.ts';

/** How much may come before it is read, in bytes. */
export interface ReceivingOptions {
  /** On a stream. */
  readonly streamWindowBytes: number;
  /** On all streams together; bytes that wait in streams do not count, up to `heldBytes`. */
  readonly connectionWindowBytes: number;
  /** So much may wait in all streams together, of a peer that is not known yet and of one that is. */
  readonly heldBytes: { readonly stranger: number; readonly known: number };
}

interface Told {
  readonly initialWindowBytes: number;
  readonly applied: (() => void) | undefined;
}

/** What may come on a connection: our windows, and what the peer knows of our settings (RFC 9113, 5.2 and 6.5.3). */
export class Receiving {
  readonly #options: ReceivingOptions;
  readonly #output: Output;
  /** What the peer may still send on all streams together, and what it has not been told of. */
  #window: number;
  #unacknowledged = 0;
  /** What waits in all streams together. */
  #held = 0;
  #mayHold: number;
  #stopped = false;
  /** Told to the peer, in this order, and not acknowledged. */
  readonly #told: Told[] = [];
  /** What streams begin with, once the peer has said that it knows; before that, RFC 9113's. */
  #initialWindow = DEFAULT_WINDOW_BYTES;
  #streamWindow: number;

  constructor(options: ReceivingOptions, output: Output) {
    this.#options = options;
    this.#output = output;
    this.#streamWindow = options.streamWindowBytes;
    this.#mayHold = options.heldBytes.stranger;
    this.#window = Math.max(options.connectionWindowBytes, DEFAULT_WINDOW_BYTES);
  }

  /** What a stream may hold of what nobody has read, as told to the peer last. */
  get streamWindow(): number {
    return this.#streamWindow;
  }

  /** What a new stream may receive: the peer goes by what it knows. */
  get initialWindow(): number {
    return this.#initialWindow;
  }

  /** The first SETTINGS, and how large the window of the connection really is. */
  greet(settings: OurSettings): void {
    this.tell({ initialWindowBytes: this.#streamWindow, ...settings });
    const more = this.#window - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.#output.numberFrame(FrameType.WindowUpdate, 0, more);
  }

  /** SETTINGS. `applied` is called when the peer knows. */
  tell(settings: OurSettings, applied?: () => void): void {
    this.#streamWindow = settings.initialWindowBytes ?? this.#streamWindow;
    this.#told.push({ initialWindowBytes: this.#streamWindow, applied });
    this.#output.frame(FrameType.Settings, 0, 0, settingsPayload(settings));
  }

  /** The peer knows what it was told first of what it has not acknowledged. False: there was nothing. */
  acknowledged(streams: Iterable<Stream>): boolean {
    const told = this.#told.shift();
    if (told === undefined) return false;
    const change = told.initialWindowBytes - this.#initialWindow;
    this.#initialWindow = told.initialWindowBytes;
    if (change !== 0) for (const stream of streams) stream.receiveWindow += change;
    told.applied?.();
    return true;
  }

  /** Bytes of DATA have come. @throws ConnectionError if they are more than the peer may send */
  count(bytes: number): void {
    this.#window -= bytes;
    if (this.#window < 0) throw new ConnectionError(ErrorCode.FlowControlError, 'more than the window');
    this.#unacknowledged += bytes;
    this.#acknowledge();
  }

  /** So many bytes more, or fewer, wait in streams. */
  hold(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) this.#acknowledge();
  }

  /** The peer is known: more of what it sends may wait. */
  trust(): void {
    this.#mayHold = this.#options.heldBytes.known;
    this.#acknowledge();
  }

  /** The peer is told nothing any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** What waits in a stream does not count against the connection's window, because a stalled one must not stop the others; all have a bound. */
  #acknowledge(): void {
    if (this.#unacknowledged * 2 < this.#options.connectionWindowBytes) return;
    if (this.#held > this.#mayHold || this.#stopped) return;
    this.#output.numberFrame(FrameType.WindowUpdate, 0, this.#unacknowledged);
    this.#window += this.#unacknowledged;
    this.#unacknowledged = 0;
  }
}

import type { Socket } from 'node:net';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const FRAME_HEADER_BYTES = 9;
const HEADERS = 1;
const SETTINGS = 4;
const CONTINUATION = 9;
const SETTINGS_HEADER_TABLE_SIZE = 1;
const ACK = 1;
const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 32;

/** The least of HTTP/2 that makes the other end send header blocks and read ours. */
export class HeaderBlockPeer {
  readonly #socket: Socket;
  readonly #blockRead: (block: Buffer, streamId: number) => void;
  #received = Buffer.alloc(0);
  #block = Buffer.alloc(0);
  #prefaceLeft: number;

  constructor(
    socket: Socket,
    role: 'client' | 'server',
    tableBytes: number,
    blockRead: (block: Buffer, streamId: number) => void,
  ) {
    this.#socket = socket;
    this.#blockRead = blockRead;
    this.#prefaceLeft = role === 'server' ? PREFACE.length : 0;
    if (role === 'client') socket.write(PREFACE);
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(SETTINGS_HEADER_TABLE_SIZE, 0);
    settings.writeUInt32BE(tableBytes, 2);
    this.#send(SETTINGS, 0, 0, settings);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** A whole request or answer, in one HEADERS frame and what goes on after 16 KiB. */
  sendHeaders(streamId: number, block: Buffer): void {
    const most = 16384;
    for (let at = 0; at === 0 || at < block.length; at += most) {
      const flags = (at === 0 ? END_STREAM : 0) | (at + most >= block.length ? END_HEADERS : 0);
      this.#send(at === 0 ? HEADERS : CONTINUATION, flags, streamId, block.subarray(at, at + most));
    }
  }

  #send(type: number, flags: number, streamId: number, payload: Buffer): void {
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    header.writeUInt32BE(streamId, 5);
    this.#socket.write(Buffer.concat([header, payload]));
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length < this.#prefaceLeft) return;
    this.#received = this.#received.subarray(this.#prefaceLeft);
    this.#prefaceLeft = 0;
    while (this.#received.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + this.#received.readUIntBE(0, 3);
      if (this.#received.length < end) return;
      const frame = this.#received.subarray(0, end);
      this.#received = this.#received.subarray(end);
      this.#frameRead(frame[3]!, frame[4]!, frame.readUInt32BE(5), frame.subarray(FRAME_HEADER_BYTES));
    }
  }

  #frameRead(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === SETTINGS && (flags & ACK) === 0) this.#send(SETTINGS, ACK, 0, Buffer.alloc(0));
    if (type !== HEADERS && type !== CONTINUATION) return;
    const padding = type === HEADERS && (flags & PADDED) !== 0 ? payload[0]! : 0;
    const before = type === CONTINUATION ? 0 : (flags & PADDED ? 1 : 0) + (flags & PRIORITY ? 5 : 0);
    this.#block = Buffer.concat([this.#block, payload.subarray(before, payload.length - padding)]);
    if ((flags & END_HEADERS) === 0) return;
    const block = this.#block;
    this.#block = Buffer.alloc(0);
    this.#blockRead(block, streamId);
  }
}

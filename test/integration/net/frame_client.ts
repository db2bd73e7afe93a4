import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { frameHeader } from '../../../src/net/websocket_frames.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { within } from '../../support/wait.ts';

export interface Head {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** A WebSocket client that sends bytes as a test wants them and reads what comes back frame by frame. */
export class FrameClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #wake = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('close', () => this.#wake());
  }

  static async connect(endpoint: Endpoint): Promise<FrameClient> {
    const socket = connect(endpoint.port, endpoint.host);
    await once(socket, 'connect');
    return new FrameClient(socket);
  }

  /** Text is Latin-1. */
  write(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  async readHead(): Promise<Head> {
    const end = await this.#until(() => this.#received.indexOf('\r\n\r\n'));
    const [line = '', ...rest] = this.#take(end + 4)
      .toString('latin1')
      .trimEnd()
      .split('\r\n');
    const pairs = rest.map((text): [string, string] => {
      const colon = text.indexOf(':');
      return [text.slice(0, colon).toLowerCase(), text.slice(colon + 1).trim()];
    });
    return { status: Number(line.split(' ')[1]), headers: new Map(pairs) };
  }

  async read(count: number): Promise<Buffer> {
    await this.#until(() => (this.#received.length >= count ? 0 : -1));
    return this.#take(count);
  }

  async readFrame(): Promise<{ opcode: number; payload: Buffer }> {
    const head = await this.read(2);
    const short = (head[1] ?? 0) & 0x7f;
    const length =
      short < 126
        ? short
        : (await this.read(short === 126 ? 2 : 8)).readUIntBE(short === 126 ? 0 : 2, short === 126 ? 2 : 6);
    return { opcode: (head[0] ?? 0) & 0x0f, payload: await this.read(length) };
  }

  /** The next frame that is no data. */
  async readControl(): Promise<{ opcode: number; payload: Buffer }> {
    for (;;) {
      const frame = await this.readFrame();
      if (frame.opcode >= 8) return frame;
    }
  }

  async closed(): Promise<void> {
    const end = new Promise<void>((resolve) => {
      if (this.socket.closed) resolve();
      else this.socket.once('close', () => resolve());
    });
    await within('the end of the connection', 5000, end);
  }

  async #until(find: () => number): Promise<number> {
    for (;;) {
      const at = find();
      if (at >= 0) return at;
      if (this.socket.closed)
        throw new Error(`the connection ended after ${JSON.stringify(this.#received.toString('latin1'))}`);
      await within(
        'more bytes',
        5000,
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      );
    }
  }

  #take(count: number): Buffer {
    const taken = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return taken;
  }
}

/** A client's frame, masked. */
export function clientFrame(opcode: number, payload: Buffer): Buffer {
  const mask = [1, 2, 3, 4];
  const header = Buffer.from(frameHeader(opcode, payload.length));
  header[1] = (header[1] ?? 0) | 0x80;
  const masked = Buffer.from(payload);
  for (let i = 0; i < masked.length; i++) masked[i] = (masked[i] ?? 0) ^ (mask[i & 3] ?? 0);
  return Buffer.concat([header, Buffer.from(mask), masked]);
}

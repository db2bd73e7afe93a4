import { createServer } from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createWebSocketStream, WebSocketServer } from 'ws';

/** What an agent sent on a stream: a message, or the end of its half. */
export type Received = { readonly message: Buffer; readonly compressed: boolean } | 'end';

/** One gRPC stream of an agent, seen from kas. */
export class PlayedStream {
  readonly stream: ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  #received: Received[] = [];
  #waiting: ((received: Received) => void) | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #trailers: Record<string, string> = { 'grpc-status': '0', 'grpc-message': '' };

  constructor(stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders) {
    this.stream = stream;
    this.headers = headers;
    stream.on('error', () => {}); // the agent may cancel
    stream.on('wantTrailers', () => stream.sendTrailers(this.#trailers));
    stream.on('data', (chunk: Buffer) => this.#split(chunk));
    stream.on('end', () => this.#push('end'));
  }

  get path(): string {
    return String(this.headers[':path']);
  }

  /** The next thing that the agent sends. */
  next(): Promise<Received> {
    const received = this.#received.shift();
    return received === undefined
      ? new Promise((resolve) => {
          this.#waiting = resolve;
        })
      : Promise.resolve(received);
  }

  respond(): void {
    this.stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' },
      { waitForTrailers: true },
    );
  }

  send(message: Uint8Array): void {
    const zipped = gzipSync(message);
    const prefix = Buffer.of(1, 0, 0, 0, 0);
    prefix.writeUInt32BE(zipped.length, 1);
    this.stream.write(Buffer.concat([prefix, zipped]));
  }

  end(trailers: Record<string, string>): void {
    this.#trailers = trailers;
    if (this.stream.headersSent) this.stream.end();
    else this.stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true });
  }

  #split(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 5 && this.#rest.length >= 5 + this.#rest.readUInt32BE(1)) {
      const end = 5 + this.#rest.readUInt32BE(1);
      const compressed = this.#rest[0] === 1;
      const payload = this.#rest.subarray(5, end);
      this.#rest = this.#rest.subarray(end);
      this.#push({ message: compressed ? gunzipSync(payload) : payload, compressed });
    }
  }

  #push(received: Received): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#received.push(received);
    else waiting(received);
  }
}

/** A kas without a mind of its own: the test says what it sends. Native gRPC and gRPC in a WebSocket on two ports. */
export class PlayedKas {
  readonly sessions = new Set<http2.ServerHttp2Session>();
  /** Every stream there ever was, oldest first. */
  readonly streams: PlayedStream[] = [];
  readonly #native = http2.createServer();
  readonly #http = createServer();
  readonly #webSockets = new WebSocketServer({ server: this.#http, perMessageDeflate: false });
  #watchers: (() => void)[] = [];

  static async start(): Promise<PlayedKas> {
    const kas = new PlayedKas();
    await Promise.all(
      [kas.#native, kas.#http].map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))),
    );
    return kas;
  }

  private constructor() {
    this.#native.on('session', (session) => {
      this.sessions.add(session);
      session.on('error', () => {});
      session.on('close', () => this.sessions.delete(session));
    });
    this.#native.on('stream', (stream: ServerHttp2Stream, headers) => {
      this.streams.push(new PlayedStream(stream, headers));
      for (const watcher of this.#watchers.splice(0)) watcher();
    });
    this.#webSockets.on('connection', (socket) => {
      const duplex = createWebSocketStream(socket);
      duplex.on('error', () => {});
      this.#native.emit('connection', duplex);
    });
  }

  /** Host and port of native gRPC. */
  get native(): string {
    return `127.0.0.1:${(this.#native.address() as AddressInfo).port}`;
  }

  /** Host and port of gRPC in a WebSocket. */
  get webSocket(): string {
    return `127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** The `n`th call of a method (from 1), as soon as there is one. */
  async call(path: string, n = 1): Promise<PlayedStream> {
    for (;;) {
      const found = this.streams.filter((stream) => stream.path.endsWith(path))[n - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    for (const client of this.#webSockets.clients) client.terminate();
    this.#http.closeAllConnections();
    await Promise.all([this.#native, this.#http].map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

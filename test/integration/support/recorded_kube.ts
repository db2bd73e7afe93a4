import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { callWasCompleted, httpResponses, type RecordedTunnel } from './recorded_tunnel.ts';

type Received = NonNullable<RecordedTunnel['kube_received']>[number];

export interface RecordedKube {
  readonly url: string;
  readonly received: Received[];
  /** Connections that are open now. */
  readonly open: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** A kube-apiserver that answers byte by byte what the recorded one must have answered. */
export async function startRecordedKube(recorded: RecordedTunnel): Promise<RecordedKube> {
  const received: Received[] = [];
  const open = new Set<Socket>();
  const server = createServer();
  const onRequest = (request: IncomingMessage): void => {
    if (request.url === '/version')
      return void request.socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push(describe(request, Buffer.concat(chunks)));
      answer(recorded, request.socket);
    });
  };
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
  });
  server.on('request', onRequest);
  server.on('upgrade', (request) => {
    received.push(describe(request, Buffer.alloc(0)));
    answer(recorded, request.socket);
    request.socket.resume();
    request.socket.on('end', () => request.socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    open,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function describe(request: IncomingMessage, body: Buffer): Received {
  const raw = request.rawHeaders;
  return {
    request_line: `${request.method} ${request.url} HTTP/${request.httpVersion}`,
    headers: Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]),
    body_framing:
      request.headers['transfer-encoding'] ??
      (request.headers['content-length'] === undefined ? 'none' : 'content-length'),
    body: body.toString('latin1'),
  };
}

function answer(recorded: RecordedTunnel, socket: Socket): void {
  const upgraded: Buffer[] = [];
  let chunked = false;
  if (recorded.name === 'informational-103') socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
  for (const { message } of httpResponses(recorded)) {
    if (message.case === 'header') {
      const { response } = message.value;
      assert.ok(response);
      const framed =
        response.header['Content-Length'] !== undefined || response.statusCode === 101 || response.statusCode === 204;
      chunked = !framed;
      // The last Via is the agent's own.
      const headers = Object.entries(response.header).flatMap(([name, { value }]) =>
        (name === 'Via' ? value.slice(0, -1) : value).map((v) => `${name}: ${v}\r\n`),
      );
      socket.write(
        `HTTP/1.1 ${response.status}\r\n${headers.join('')}${chunked ? 'Transfer-Encoding: chunked\r\n' : ''}\r\n`,
      );
    } else if (message.case === 'data') {
      const { data } = message.value;
      socket.write(
        chunked ? Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]) : data,
      );
    } else if (message.case === 'trailer') {
      if (chunked) socket.write('0\r\n\r\n');
      chunked = false;
    } else if (message.case === 'upgradeData') upgraded.push(Buffer.from(message.value.data));
  }
  if (chunked && callWasCompleted(recorded)) socket.end(); // it broke off in the middle of the body
  if (upgraded.length > 0) converse(socket, upgraded, callWasCompleted(recorded));
}

/** After a 101: the first bytes at once, then one piece for each piece that comes. */
function converse(socket: Socket, pieces: Buffer[], closes: boolean): void {
  socket.write(pieces[0]!);
  let next = 1;
  socket.on('data', () => {
    const piece = pieces[next++];
    if (piece !== undefined) socket.write(piece);
    if (next === pieces.length && closes) socket.end();
  });
}

import { type ChildProcess, spawn } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { Json } from './store.ts';

const PROTOCOL = 'v5.channel.k8s.io';
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
/** Stop reading a command's output while this much of it has not left. */
const HIGH_WATER = 1 << 20;

/** Runs commands of this machine "in pods", for kubectl exec and cp over WebSocket (remotecommand, v5.channel.k8s.io). */
export class Exec {
  readonly #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  readonly #running = new Set<ChildProcess>();

  /** Takes over the connection of a request with `Upgrade: websocket`. */
  serve(request: IncomingMessage, socket: Duplex, head: Buffer, folder: string): void {
    const { searchParams: query } = new URL(request.url!, 'http://kube');
    this.#server.handleUpgrade(request, socket, head, (client) => {
      client.on('error', () => client.terminate());
      if (client.protocol === PROTOCOL) this.#run(client, query, folder);
      else client.close(1002, `expected the subprotocol ${PROTOCOL}`);
    });
  }

  /** Ends what still runs. */
  close(): void {
    for (const child of this.#running) kill(child);
    for (const client of this.#server.clients) client.terminate();
  }

  #run(client: WebSocket, query: URLSearchParams, folder: string): void {
    const argv = query.getAll('command');
    // No terminal can be had from Node itself; script(1) brings one.
    const [file, ...args] =
      query.get('tty') === 'true' ? ['script', '-qec', argv.map(quote).join(' '), '/dev/null'] : argv;
    const child = spawn(file ?? '', args, { cwd: folder, detached: true });
    this.#running.add(child);
    child.stdin.on('error', () => {}); // the command did not want to read to the end
    if (query.get('stdin') !== 'true') child.stdin.end();
    pump(child.stdout, client, CHANNEL.stdout);
    pump(child.stderr, client, CHANNEL.stderr);
    client.on('message', (data) => onMessage(child, asBuffer(data)));
    client.on('close', () => kill(child));
    child.on('error', (error) =>
      finish(client, failure('InternalError', `Internal error occurred: ${error.message}`, 126)),
    );
    child.on('close', (code, signal) => {
      this.#running.delete(child);
      finish(
        client,
        code === 0 ? { metadata: {}, status: 'Success' } : exitStatus(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)),
      );
    });
  }
}

function onMessage(child: ChildProcess, message: Buffer): void {
  if (message[0] === CHANNEL.stdin && message.length > 1) child.stdin?.write(message.subarray(1));
  else if (message[0] === CHANNEL.close && message[1] === CHANNEL.stdin) child.stdin?.end();
}

function pump(from: Readable, client: WebSocket, channel: number): void {
  from.on('data', (chunk: Buffer) => {
    if (client.readyState !== client.OPEN) return;
    client.send(Buffer.concat([Buffer.of(channel), chunk]), () => {
      if (client.bufferedAmount < HIGH_WATER) from.resume();
    });
    if (client.bufferedAmount >= HIGH_WATER) from.pause();
  });
}

function finish(client: WebSocket, status: Json): void {
  if (client.readyState !== client.OPEN) return;
  client.send(Buffer.concat([Buffer.of(CHANNEL.error), Buffer.from(JSON.stringify(status))]));
  client.close(1000);
}

function exitStatus(code: number): Json {
  return failure('NonZeroExitCode', `command terminated with non-zero exit code: exit status ${code}`, code);
}

function failure(reason: string, message: string, code: number): Json {
  const details = { causes: [{ reason: 'ExitCode', message: String(code) }] };
  return {
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(reason === 'NonZeroExitCode' ? { details } : { code: 500 }),
  };
}

/** The command and its children: it leads a process group of its own. */
function kill(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // it has ended meanwhile
  }
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

function quote(argument: string): string {
  return `'${argument.replaceAll("'", "'\\''")}'`;
}

import net from 'node:net';
import process from 'node:process';

/**
 * Asks for one path over and over, closed loop, keep-alive. Reads `{port, path, connections, seconds, token}` as JSON from
 * the command line, prints `{requests, errors, p50Us, p99Us}`. A client of its own, because it must cost less than what it
 * measures.
 */
interface Load {
  port: number;
  path: string;
  connections: number;
  seconds: number;
  token: string;
}

const load = JSON.parse(process.argv[2] ?? '{}') as Load;
const request = Buffer.from(
  `GET ${load.path} HTTP/1.1\r\nHost: kas.example\r\nAuthorization: Bearer ${load.token}\r\nAccept: application/json\r\nUser-Agent: bench/1\r\n\r\n`,
);
const latenciesUs: number[] = [];
let errors = 0;
const endMs = performance.now() + load.seconds * 1000;

/** Where the answer that begins at the start of `text` ends; undefined if it is not complete. */
function endOfAnswer(text: string): number | undefined {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head + 2))?.[1];
  if (length === undefined) throw new Error(`no Content-Length: ${text.slice(0, head)}`);
  const end = head + 4 + Number(length);
  return text.length >= end ? end : undefined;
}

function connection(): Promise<void> {
  return new Promise((done) => {
    const socket = net.connect(load.port, '127.0.0.1');
    socket.setNoDelay(true);
    let text = '';
    let startedMs = 0;
    const next = (): void => {
      if (performance.now() >= endMs) {
        socket.destroy();
        done();
        return;
      }
      startedMs = performance.now();
      socket.write(request);
    };
    socket.on('connect', next);
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const end = endOfAnswer(text);
      if (end === undefined) return;
      if (text.startsWith('HTTP/1.1 200')) latenciesUs.push((performance.now() - startedMs) * 1000);
      else errors++;
      text = text.slice(end);
      next();
    });
    socket.on('error', () => errors++);
    socket.on('close', () => done());
  });
}

await Promise.all(Array.from({ length: load.connections }, connection));
latenciesUs.sort((a, b) => a - b);
const at = (fraction: number): number =>
  Math.round(latenciesUs[Math.floor(latenciesUs.length * fraction)] ?? Number.NaN);
process.stdout.write(JSON.stringify({ requests: latenciesUs.length, errors, p50Us: at(0.5), p99Us: at(0.99) }));

import type { Readable } from 'node:stream';
import { gunzip } from 'node:zlib';
import type { Clock } from '../runtime/clock.ts';
import type { HttpResponse } from './transport.ts';

/** Between two pieces of a body; GitLab's answers are small and made before they are sent. */
const STALL_MS = 30_000;
/** What is read of a body that nobody wants, so that its connection can be used again. */
const MAX_DISCARDED = 8 * 1024;
const DISCARD_MS = 5_000;

/** The whole body, inflated if it is gzip. Rejects if it is cut off, stalls, or holds more than `maxBytes` (inflated or not). */
export async function readBody(response: HttpResponse, maxBytes: number, clock: Clock): Promise<Buffer> {
  const { body } = response;
  const raw = Buffer.isBuffer(body) ? within(body, maxBytes) : await collect(body, maxBytes, clock);
  const encoding = response.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return raw;
  if (encoding !== 'gzip') throw new Error(`unexpected Content-Encoding in response: "${encoding}"`);
  return inflate(raw, maxBytes);
}

/** Gets rid of a body that does not matter, in the background. */
export function discardBody(body: Buffer | Readable, clock: Clock): void {
  if (Buffer.isBuffer(body)) return;
  let left = MAX_DISCARDED;
  const timer = clock.startTimer(DISCARD_MS, () => body.destroy());
  body.on('error', () => {});
  body.once('close', () => timer.stop());
  body.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) body.destroy();
  });
}

function within(body: Buffer, maxBytes: number): Buffer {
  if (body.length > maxBytes) throw new Error(`the response is larger than ${maxBytes} bytes`);
  return body;
}

function collect(body: Readable, maxBytes: number, clock: Clock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const giveUp = () => body.destroy(new Error('the response stalled'));
    let timer = clock.startTimer(STALL_MS, giveUp);
    body.on('data', (chunk: Buffer) => {
      timer.stop();
      timer = clock.startTimer(STALL_MS, giveUp);
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) body.destroy(new Error(`the response is larger than ${maxBytes} bytes`));
    });
    body.once('end', () => {
      timer.stop();
      resolve(Buffer.concat(chunks));
    });
    body.once('error', (error) => {
      timer.stop();
      reject(error);
    });
    body.once('close', () => {
      timer.stop();
      reject(new Error('the response was cut off'));
    });
  });
}

function inflate(data: Buffer, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gunzip(data, { maxOutputLength: maxBytes }, (error, inflated) => {
      if (error === null) resolve(inflated);
      else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        reject(new Error(`the response is larger than ${maxBytes} bytes`));
      } else reject(new Error('the response is no proper gzip'));
    });
  });
}

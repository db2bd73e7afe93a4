import type { ServerResponse } from 'node:http';

/** What the fake GitLab does instead of answering. Members combine; the delay comes first. */
export interface Failure {
  readonly delayMs?: number;
  /** Cuts the connection: before the answer, or after its first bytes. */
  readonly cut?: 'before' | 'middle';
  readonly status?: number;
  readonly contentType?: string;
  readonly body?: string;
  /** A body of that many bytes. */
  readonly bodyBytes?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Plays a failure. The answer is ended or cut when the promise resolves. */
export async function playFailure(response: ServerResponse, failure: Failure): Promise<void> {
  if (failure.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, failure.delayMs).unref());
  if (response.destroyed) return;
  if (failure.cut === 'before') {
    response.destroy();
    return;
  }
  const body =
    failure.bodyBytes === undefined ? Buffer.from(failure.body ?? '{}') : Buffer.alloc(failure.bodyBytes, 0x20);
  response.writeHead(failure.status ?? 500, {
    'content-type': failure.contentType ?? 'application/json',
    'content-length': body.length,
    ...failure.headers,
  });
  if (failure.cut === 'middle') {
    response.write(body.subarray(0, Math.max(1, body.length >> 1)), () => response.destroy());
    return;
  }
  response.end(body);
}

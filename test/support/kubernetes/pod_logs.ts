import type { ServerResponse } from 'node:http';

/** What containers have written, and who follows it. One log per cluster: every pod says the same. */
export class PodLogs {
  readonly #lines: string[] = [];
  readonly #followers = new Set<ServerResponse>();

  /** Appends a line; followers get it at once. */
  say(line: string): void {
    this.#lines.push(line);
    for (const response of this.#followers) response.write(`${line}\n`);
  }

  serve(query: URLSearchParams, response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Cache-Control': 'no-cache, private' });
    response.flushHeaders();
    const tail = query.get('tailLines');
    const lines = tail === null ? this.#lines : this.#lines.slice(Math.max(0, this.#lines.length - Number(tail)));
    for (const line of lines) response.write(`${line}\n`);
    if (query.get('follow') !== 'true') {
      response.end();
      return;
    }
    this.#followers.add(response);
    response.on('close', () => this.#followers.delete(response));
  }
}

import { Readable } from 'node:stream';
import type { HttpRequest, HttpResponse, Transport } from '../../../src/gitlab/transport.ts';

/** A transport for unit tests: answers come from `answer`, requests are kept. */
export class FakeTransport implements Transport {
  readonly requests: HttpRequest[] = [];
  readonly #answer: (request: HttpRequest, nth: number) => HttpResponse | Error;

  /** @param answer gets the request and its number, beginning at 1; an Error is thrown */
  constructor(answer: (request: HttpRequest, nth: number) => HttpResponse | Error) {
    this.#answer = answer;
  }

  send(request: HttpRequest): Promise<HttpResponse> {
    this.requests.push(request);
    const answer = this.#answer(request, this.requests.length);
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  }

  close(): void {}
}

export function jsonResponse(status: number, body: unknown = {}, headers: Record<string, string> = {}): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Readable.from([Buffer.from(JSON.stringify(body))]),
  };
}

import type { HttpRequest } from '../transport.ts';

/**
 * A request as it goes onto the wire: as text, a byte a character, if it has no body.
 *
 * @param prefix what stands in front of its target
 * @param lines header lines in front of its own
 * @throws TypeError if its body is a stream
 */
export function requestBytes(request: HttpRequest, prefix: string, lines: readonly string[]): Buffer | string {
  const { method, target, headers, body } = request;
  let head = `${method} ${prefix}${target} HTTP/1.1\r\n`;
  for (const line of lines) head += `${line}\r\n`;
  for (const [name, values] of Object.entries(headers)) {
    if (typeof values === 'string') head += `${name}: ${values}\r\n`;
    else for (const value of values) head += `${name}: ${value}\r\n`;
  }
  head += 'Connection: keep-alive\r\n\r\n';
  if (body === undefined) return head;
  if (!Buffer.isBuffer(body)) throw new TypeError('the body of a request is a stream');
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

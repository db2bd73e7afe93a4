import type { HttpRequest } from '../transport.ts';

/** What a line may consist of: no end of a line, and nothing that would become one as a byte. */
const SENDABLE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * A request as it goes onto the wire: as text, a byte a character, if it has no body.
 *
 * @param prefix what stands in front of its target
 * @param lines header lines in front of its own
 * @throws TypeError if its body is a stream, or its head has characters that no head may have
 */
export function requestBytes(request: HttpRequest, prefix: string, lines: readonly string[]): Buffer | string {
  const { method, target, headers, body } = request;
  let head = '';
  const add = (line: string) => {
    if (!SENDABLE.test(line)) throw new TypeError('a character in the head of a request that cannot be sent');
    head += `${line}\r\n`;
  };
  add(`${method} ${prefix}${target} HTTP/1.1`);
  for (const line of lines) add(line);
  for (const [name, values] of Object.entries(headers)) {
    if (typeof values === 'string') add(`${name}: ${values}`);
    else for (const value of values) add(`${name}: ${value}`);
  }
  head += 'Connection: keep-alive\r\n\r\n';
  if (body === undefined) return head;
  if (!Buffer.isBuffer(body)) throw new TypeError('the body of a request is a stream');
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

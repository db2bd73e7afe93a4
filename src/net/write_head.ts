import type { ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';

/** Means something to HTTP/1.1 only; HTTP/2 forbids them. */
const CONNECTION_HEADERS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/**
 * Writes status and headers whatever the client's HTTP version. Node's response for HTTP/2 keeps only the last of several
 * headers of one name in a flat list, hence the difference.
 * @param headers names and values in turn
 */
export function writeHead(response: ServerResponse, status: number, headers: string[]): void {
  if (!((response as unknown) instanceof Http2ServerResponse)) {
    response.writeHead(status, headers);
    return;
  }
  const grouped: Record<string, string[]> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (CONNECTION_HEADERS.has(name)) continue;
    grouped[name] ??= [];
    grouped[name].push(headers[i + 1]!);
  }
  const single = Object.entries(grouped).map(([name, values]) => [name, values.length === 1 ? values[0]! : values]);
  response.writeHead(status, Object.fromEntries(single));
}

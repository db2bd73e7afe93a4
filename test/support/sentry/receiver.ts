import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '../wait.ts';

/** An event as Sentry's clients send it. */
export interface ReceivedEvent {
  readonly level: string;
  readonly release?: string;
  readonly environment?: string;
  readonly transaction?: string;
  readonly exception: { readonly values: readonly { readonly type: string; readonly value: string }[] };
  readonly user?: { readonly id: string };
  readonly tags: Readonly<Record<string, string>>;
  readonly extra: Readonly<Record<string, string>>;
  readonly fingerprint: readonly string[];
}

/** A Sentry: takes envelopes and keeps the events in them. */
export interface SentryReceiver {
  readonly dsn: string;
  readonly requests: { readonly url: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  readonly events: ReceivedEvent[];
  /** How requests are answered. */
  status: number;
  headers: Record<string, string>;
  /** Waits for an event whose text contains `text`. */
  event(text: string): Promise<ReceivedEvent>;
  close(): Promise<void>;
}

export async function startSentryReceiver(): Promise<SentryReceiver> {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    receiver.requests.push({ url: request.url ?? '', headers: request.headers, body });
    // An envelope: a header, then for each item a header and what it is about, a line each.
    const [, ...items] = body.split('\n').filter((line) => line !== '');
    for (let i = 0; i + 1 < items.length; i += 2) {
      if (JSON.parse(items[i] ?? '').type === 'event') receiver.events.push(JSON.parse(items[i + 1] ?? ''));
    }
    response.writeHead(receiver.status, receiver.headers).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: SentryReceiver = {
    dsn: `http://public-key@127.0.0.1:${(server.address() as AddressInfo).port}/sub/42`,
    requests: [],
    events: [],
    status: 200,
    headers: {},
    event: (text) =>
      eventually(`the event ${text}`, () =>
        receiver.events.find(({ exception }) => exception.values[0]?.value.includes(text)),
      ),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

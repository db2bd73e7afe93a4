import { type ContextValues, createContextKey } from '@connectrpc/connect';

/**
 * For handlers of long-lived calls: calls a function when the connection has reached its age, or the server leaves. Time to
 * end with OK. Returns what takes the function back. HTTP/1.1 connections never get old.
 */
export const onConnectionAge = createContextKey<(f: () => void) => () => void>(() => () => {}, {
  description: 'when the connection has aged',
});

/** For whoever checks credentials: says that the client of this connection is known. */
export const proveConnection = createContextKey<() => void>(() => {}, {
  description: 'the client of the connection is known',
});

/** The messages that come before the connection has aged. For handlers that otherwise wait as long as the client likes. */
export async function* untilAged<T>(messages: AsyncIterable<T>, values: ContextValues): AsyncGenerator<T> {
  let forget = () => {};
  const aged = new Promise<undefined>((resolve) => {
    forget = values.get(onConnectionAge)(() => resolve(undefined));
  });
  const incoming = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([incoming.next(), aged]);
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    forget();
  }
}

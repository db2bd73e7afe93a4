import { createContextKey } from '@connectrpc/connect';

/**
 * For handlers of long-lived calls: calls a function when the connection has reached its age, or the server leaves. Time to
 * end with OK. Returns what takes the function back. HTTP/1.1 connections never get old.
 */
export const onConnectionAge = createContextKey<(f: () => void) => () => void>(() => () => {}, {
  description: 'when the connection has aged',
});

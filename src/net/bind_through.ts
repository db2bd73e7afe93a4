import { Socket } from 'node:net';
import type { Link } from '../runtime/link.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Bind } from './listen.ts';
import { keyOf } from './shared_listeners.ts';

/** How long the ends of connections are collected before they are told of. */
const TELL_MS = 20;

/** A worker's way to listen: the primary process at the other end of the link does, and hands connections over. */
export function bindThrough(link: Link, scope: Scope): Bind {
  const takers = new Map<string, (socket: Socket) => void>();
  const ended = new Map<string, number>();
  const tellEnded = () => {
    for (const [key, count] of ended) link.tell('listener.ended', key, count);
    ended.clear();
  };
  link.on<[string, number]>('listener.connection', ([key, id], socket) => {
    link.tell('listener.taken', id);
    const end = () => {
      if (ended.size === 0) scope.timeout(TELL_MS, tellEnded);
      ended.set(key, (ended.get(key) ?? 0) + 1);
    };
    if (!(socket instanceof Socket)) return end(); // it was reset before it could be handed over
    socket.allowHalfOpen = true; // does not come along
    socket.on('error', ignore); // whoever takes it may do so a turn later; 'close' follows
    socket.once('close', end);
    takers.get(key)?.(socket);
  });
  return async (listen, onConnection) => {
    const key = keyOf(listen);
    // Some may come along with the answer, before whoever listens has heard of it.
    const early: Socket[] = [];
    takers.set(key, (socket) => early.push(socket));
    const { network, address } = listen;
    const bound = await link.call<string>('listener.open', { network, address });
    setImmediate(() => {
      takers.set(key, onConnection);
      for (const socket of early) onConnection(socket);
    });
    let closed: Promise<void> | undefined;
    return {
      address: bound,
      close() {
        // The answer comes after the last connection. If there is none, the primary process has gone.
        closed ??= link.call<void>('listener.close', key).catch(() => {});
        return closed;
      },
    };
  };
}

function ignore(): void {}

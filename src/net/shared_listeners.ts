import type { Socket } from 'node:net';
import type { Listen } from '../config/config.ts';
import type { Link } from '../runtime/link.ts';
import { type BoundListener, bindForOthers } from './listen.ts';

type Address = Pick<Listen, 'network' | 'address'>;

/** A worker that takes connections of a listener. */
interface Taker {
  readonly link: Link;
  /** How many it has that have not ended. */
  connections: number;
}

interface Shared {
  readonly bound: Promise<BoundListener>;
  /** Least recently used first. */
  readonly takers: Set<Taker>;
  /** Accepted while there was no worker to take them. */
  waiting: Socket[];
}

/** A connection on its way to a worker. */
interface Handed {
  readonly key: string;
  readonly socket: Socket;
}

/** Connections that wait while all workers start again; further ones are closed. */
const MAX_WAITING = 4096;

/**
 * The listening sockets of a server with workers. They belong to the primary process, which accepts and hands each connection
 * to the worker that has the fewest of that listener: agents stay for days, so turns alone would leave a worker that was
 * started again without any. What stands in the backlog of a listener outlives its workers, and so does a connection that was
 * handed to a worker which died before it could say that it has it.
 */
export class SharedListeners {
  readonly #listeners = new Map<string, Shared>();
  readonly #handed = new Map<Link, Map<number, Handed>>();
  readonly #release: (socket: Socket) => void;
  #lastId = 0;

  /**
   * @param release lets go of this process's end of a connection that a worker has; default: closes it, which the worker's
   * survives
   */
  constructor(release: (socket: Socket) => void = (socket) => socket.destroy()) {
    this.#release = release;
  }

  /** Opens listeners for the worker at the other end of the link, as `bindThrough` asks there. */
  serve(link: Link): void {
    const handed = new Map<number, Handed>();
    this.#handed.set(link, handed);
    link.on<[Address]>('listener.open', async ([address]) => {
      const shared = this.#open(address);
      const { address: bound } = await shared.bound;
      shared.takers.add({ link, connections: 0 });
      for (const socket of shared.waiting.splice(0)) this.#give(keyOf(address), shared, socket);
      return bound;
    });
    link.on<[number]>('listener.taken', ([id]) => {
      const taken = handed.get(id);
      if (taken === undefined) return;
      handed.delete(id);
      this.#release(taken.socket);
    });
    link.on<[string, number]>('listener.ended', ([key, count]) => {
      for (const taker of this.#listeners.get(key)?.takers ?? []) if (taker.link === link) taker.connections -= count;
    });
    link.on<[string]>('listener.close', async ([key]) => {
      const shared = this.#listeners.get(key);
      if (shared === undefined) return;
      // Who closes a listener leaves because all are to leave; who has died is started again. The last one takes the backlog,
      // too.
      if ([...shared.takers].every((taker) => taker.link === link)) {
        // This turn's end, and the next one's, which accepts what is there.
        for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
        await this.#close(key, shared);
      }
      forget(shared, link);
    });
  }

  /** The worker has gone, and its connections with it; those that had not arrived go to others. */
  gone(link: Link): void {
    for (const shared of this.#listeners.values()) forget(shared, link);
    const lost = [...(this.#handed.get(link)?.values() ?? [])];
    this.#handed.delete(link);
    for (const { key, socket } of lost) {
      const shared = this.#listeners.get(key);
      if (shared === undefined) socket.destroy();
      else this.#give(key, shared, socket);
    }
  }

  /** Closes what is still open, and the connections that nobody has taken. */
  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map(([key, shared]) => this.#close(key, shared)));
  }

  #open(address: Address): Shared {
    const key = keyOf(address);
    const open = this.#listeners.get(key);
    if (open !== undefined) return open;
    const shared: Shared = {
      bound: bindForOthers(address, (socket) => this.#give(key, shared, socket)),
      takers: new Set(),
      waiting: [],
    };
    this.#listeners.set(key, shared);
    shared.bound.catch(() => this.#listeners.delete(key));
    return shared;
  }

  async #close(key: string, shared: Shared): Promise<void> {
    this.#listeners.delete(key);
    for (const socket of shared.waiting.splice(0)) socket.destroy();
    const listener = await shared.bound.catch(() => undefined);
    await listener?.close();
  }

  /** Hands the connection to the taker with the fewest, the one that has waited longest among equals. */
  #give(key: string, shared: Shared, socket: Socket): void {
    let chosen: Taker | undefined;
    for (const taker of shared.takers)
      if (chosen === undefined || taker.connections < chosen.connections) chosen = taker;
    if (chosen === undefined) {
      if (shared.waiting.length >= MAX_WAITING) socket.destroy();
      else shared.waiting.push(socket);
      return;
    }
    shared.takers.delete(chosen);
    shared.takers.add(chosen);
    chosen.connections++;
    const { link } = chosen;
    const id = ++this.#lastId;
    this.#handed.get(link)?.set(id, { key, socket });
    link.hand('listener.connection', socket, key, id);
  }
}

function forget(shared: Shared, link: Link): void {
  for (const taker of shared.takers) if (taker.link === link) shared.takers.delete(taker);
}

export function keyOf({ network, address }: Address): string {
  return `${network} ${address}`;
}

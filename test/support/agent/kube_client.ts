import { Exchange, type ExchangeEvents, type ExchangeRequest } from './exchange.ts';
import { dialKube, KubeConnection } from './kube_connection.ts';
import type { Cluster } from './options.ts';

/** Pooled HTTP/1.1 connections to one kube-apiserver. */
export class KubeClient {
  readonly cluster: Cluster;
  readonly url: URL;
  readonly #idle: KubeConnection[] = [];
  readonly #all = new Set<KubeConnection>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.url = new URL(cluster.server);
  }

  /** Sends a request's head; body and answer go through the exchange. */
  start(request: ExchangeRequest, events: ExchangeEvents): Exchange {
    return new Exchange(this, request, events);
  }

  close(): void {
    for (const connection of this.#all) connection.socket.destroy();
  }

  take(fresh: boolean): KubeConnection {
    for (let c = fresh ? undefined : this.#idle.pop(); c !== undefined; c = this.#idle.pop()) {
      if (!c.socket.destroyed && !c.ended) return c;
    }
    const connection = new KubeConnection(dialKube(this.url, this.cluster));
    this.#all.add(connection);
    connection.socket.once('close', () => {
      this.#all.delete(connection);
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return connection;
  }

  giveBack(connection: KubeConnection): void {
    this.#idle.push(connection);
  }
}

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connectOptions, type Endpoint } from './endpoint.ts';

/** What the network does to bytes, and to those who want to connect. */
export type Fault =
  /** They pass. */
  | 'none'
  /** They are swallowed, and nobody is told: a cable is out, a firewall drops. New connections are accepted and lead nowhere. */
  | 'blackhole'
  /** New connections are refused by being reset; those that are there are cut. */
  | 'reset';

/** A TCP port that leads to another endpoint, over a network that a test can break. */
export interface FaultProxy {
  readonly port: number;
  /** Applies to what is connected and to what will be. */
  set(fault: Fault): void;
  /** Each chunk of bytes arrives so much later, in each direction. */
  delay(ms: number): void;
  /** Cuts what is connected now, with RST. */
  cut(): void;
  /** The end of the connection that leads to the target goes; the other side is not told. */
  halfOpen(): void;
  /** How many connections there are. */
  readonly connections: number;
  close(): void;
}

/** @param port default: a free one */
export async function startFaultProxy(target: Endpoint, port = 0): Promise<FaultProxy> {
  const near = new Set<Socket>();
  const far = new Set<Socket>();
  let fault: Fault = 'none';
  let delayMs = 0;

  const pass = (from: Socket, to: Socket): void => {
    // One after the other: a network that gets faster does not change the order of bytes, and timers may.
    const underWay: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
    const arrive = () => {
      for (let first = underWay[0]; first !== undefined; first = underWay[0]) {
        const leftMs = first.dueMs - performance.now();
        if (leftMs > 0) {
          setTimeout(arrive, Math.ceil(leftMs));
          return;
        }
        underWay.shift();
        if (!to.destroyed && fault !== 'blackhole' && !to.write(first.chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      }
    };
    from.on('data', (chunk: Buffer) => {
      if (fault === 'blackhole') return;
      underWay.push({ chunk, dueMs: performance.now() + delayMs });
      if (underWay.length === 1) arrive();
    });
  };
  const watch = (socket: Socket, set: Set<Socket>, other: Socket): void => {
    set.add(socket);
    socket.on('error', () => {});
    socket.once('end', () => {
      if (fault !== 'blackhole') setTimeout(() => other.end(), delayMs);
    });
    socket.once('close', () => {
      set.delete(socket);
      if (fault !== 'blackhole') setTimeout(() => other.destroy(), delayMs);
    });
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (fault === 'reset') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ ...connectOptions(target), allowHalfOpen: true, noDelay: true });
    watch(client, near, upstream);
    watch(upstream, far, client);
    pass(client, upstream);
    pass(upstream, client);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const cut = () => {
    for (const socket of [...near, ...far]) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    set(next) {
      fault = next;
      if (next === 'reset') cut();
    },
    delay(ms) {
      delayMs = ms;
    },
    cut,
    halfOpen() {
      for (const socket of far) {
        socket.removeAllListeners('close');
        socket.resetAndDestroy();
      }
    },
    get connections() {
      return near.size;
    },
    close() {
      server.close();
      cut();
    },
  };
}

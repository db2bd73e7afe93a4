import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connectOptions, type Endpoint } from './endpoint.ts';

/** A TCP port whose bytes go to another endpoint: for clients that cannot dial UNIX sockets, and to cut connections. */
export interface Forwarder {
  readonly port: number;
  /** Cuts what is connected now. */
  cut(): void;
  close(): void;
}

export async function startForwarder(target: Endpoint): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ ...connectOptions(target), allowHalfOpen: true });
    near.pipe(far).pipe(near);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    close() {
      server.close();
      cut();
    },
  };
}

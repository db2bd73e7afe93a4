import { lookup } from 'node:dns/promises';
import { createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import type { Listen, Network } from '../config/config.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import { type BindTarget, bindTargets, familyFits, joinHostPort, listenError } from './address.ts';
import { clearSocketPath, openSocketToGroup, removeSocket } from './unix_socket.ts';

/** Listening sockets that belong together: one address of the configuration. */
export interface BoundListener {
  /** As bound: `127.0.0.1:8150`, `[::]:8154`, a socket's path. */
  readonly address: string;
  /** Stops accepting; accepted connections go on. Resolves when none will be handed over any more. Idempotent. */
  close(): Promise<void>;
}

/**
 * Binds what the configuration names and hands every accepted connection over, paused by nobody reading from it.
 * @throws AppError `listen tcp 127.0.0.1:8151: bind: address already in use`, or why else it could not be bound.
 */
export type Bind = (
  listen: Pick<Listen, 'network' | 'address'>,
  onConnection: (socket: Socket) => void,
) => Promise<BoundListener>;

/** Listens in this process, for this process. */
export const bind: Bind = (listen, onConnection) => open(listen, { onConnection, reads: true });

/** Listens in this process, for another one that will get the connections: nothing is read from them here. */
export const bindForOthers: Bind = (listen, onConnection) => open(listen, { onConnection, reads: false });

interface Taker {
  readonly onConnection: (socket: Socket) => void;
  /** Whether what comes in is read at once, as far as buffers go. */
  readonly reads: boolean;
}

async function open(listen: Pick<Listen, 'network' | 'address'>, taker: Taker): Promise<BoundListener> {
  if (listen.network === 'unix') return await bindUnix(listen.address, taker);
  const servers: Server[] = [];
  let port: number | undefined;
  let address = '';
  for (const target of bindTargets(listen.network, listen.address)) {
    try {
      const bound = await bindTcp(listen.network, { ...target, port: port ?? target.port }, taker);
      servers.push(bound.server);
      port ??= bound.port;
      address ||= joinHostPort(bound.host, bound.port);
    } catch (error) {
      // A machine without IPv6 (or IPv4) still has a loopback address; a port that is taken is taken, though.
      if (target.optional && !isTaken(error)) continue;
      for (const server of servers) server.close();
      throw error;
    }
  }
  return {
    address,
    async close() {
      closeAll(servers);
    },
  };
}

async function bindUnix(path: string, taker: Taker): Promise<BoundListener> {
  await clearSocketPath(path);
  const server = await listenOn({ path }, `unix ${path}`, taker);
  openSocketToGroup(path);
  return {
    address: path,
    async close() {
      if (closeAll([server])) removeSocket(path);
    },
  };
}

async function bindTcp(
  network: Network,
  target: BindTarget,
  taker: Taker,
): Promise<{ server: Server; host: string; port: number }> {
  const host = isIP(target.host) === 0 ? await resolve(network, target) : target.host;
  if (!familyFits(network, host)) throw listenError(network, `address ${host}: no suitable address found`);
  const where = `${network} ${joinHostPort(host, target.port)}`;
  const options = { host, port: target.port, ipv6Only: target.ipv6Only };
  let server: Server;
  try {
    server = await listenOn(options, where, taker);
  } catch (error) {
    // The wildcard of both families, on a machine whose kernel has no IPv6.
    if (host !== '::' || network === 'tcp6' || !lacksFamily(error)) throw error;
    server = await listenOn({ host: '0.0.0.0', port: target.port }, where, taker);
  }
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw listenError(where, 'bound to no address');
  return { server, host: bound.address, port: bound.port };
}

async function resolve(network: Network, target: BindTarget): Promise<string> {
  const family = network === 'tcp4' ? 4 : network === 'tcp6' ? 6 : 0;
  try {
    // IPv4 first for a name with both, as Go does.
    return (await lookup(target.host, { family, order: 'ipv4first' })).address;
  } catch (error) {
    throw listenError(network, `lookup ${target.host}: no such host`, { cause: error });
  }
}

function listenOn(options: ListenOptions, where: string, { onConnection, reads }: Taker): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Half-open: a client that half-closes after its request still gets the answer. noDelay: messages are whole when written.
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 15_000,
      pauseOnConnect: !reads,
    });
    const refuse = (error: NodeJS.ErrnoException) => reject(listenError(where, bindErrorText(error), { cause: error }));
    server.once('error', refuse);
    server.listen({ backlog: 4096, ...options }, () => {
      server.off('error', refuse);
      // From here on these are accept() failures (out of file descriptors): the listener outlives them.
      server.on('error', () => {});
      server.on('connection', onConnection);
      resolve(server);
    });
  });
}

function bindErrorText(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
    case 'AddrInUse':
      return 'bind: address already in use';
    case 'EACCES':
    case 'EPERM':
      return 'bind: permission denied';
    case 'EADDRNOTAVAIL':
      return 'bind: cannot assign requested address';
    default:
      return `bind: ${errorText(error)}`;
  }
}

function isTaken(error: unknown): boolean {
  return causeCode(error) === 'EADDRINUSE';
}

function lacksFamily(error: unknown): boolean {
  const code = causeCode(error);
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
}

function causeCode(error: unknown): string | undefined {
  return error instanceof AppError ? (error.cause as NodeJS.ErrnoException | undefined)?.code : undefined;
}

/** Whether any of them was still open. */
function closeAll(servers: readonly Server[]): boolean {
  let open = false;
  for (const server of servers) {
    if (!server.listening) continue;
    open = true;
    server.close();
  }
  return open;
}

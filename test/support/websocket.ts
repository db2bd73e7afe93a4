import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectOptions, type Endpoint } from './endpoint.ts';
import { type GrpcConnection, grpcOver } from './grpc_client.ts';

/** Opens a WebSocket as agentk does. `protocols` default: the one that the server wants. */
export async function openWebSocket(
  endpoint: Endpoint,
  protocols: readonly string[] = ['ws-tunnel'],
  path = '/-/kubernetes-agent/',
): Promise<WebSocket> {
  const socket = webSocket(endpoint, protocols, path);
  await once(socket, 'open');
  return socket;
}

/** The same, not yet open. */
export function webSocket(endpoint: Endpoint, protocols: readonly string[], path = '/'): WebSocket {
  const secure = endpoint.ca !== undefined;
  const connection = () =>
    secure
      ? connectTls({ ...connectOptions(endpoint), ca: endpoint.ca, servername: 'localhost' })
      : connect(connectOptions(endpoint));
  const socket = new WebSocket(`${secure ? 'wss' : 'ws'}://localhost${path}`, [...protocols], {
    perMessageDeflate: false,
    createConnection: connection,
  });
  socket.on('error', () => {});
  return socket;
}

/** gRPC inside a WebSocket. */
export async function grpcInWebSocket(endpoint: Endpoint): Promise<GrpcConnection> {
  const socket = webSocket(endpoint, ['ws-tunnel'], '/-/kubernetes-agent/');
  // At once: the server's first message may come with its handshake, and whoever waits for `open` first has missed it.
  const duplex = createWebSocketStream(socket);
  duplex.on('error', () => {});
  await once(socket, 'open');
  return await grpcOver(duplex);
}

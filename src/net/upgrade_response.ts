import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** An ordinary response for a request that asked for an upgrade, in case it is refused. */
export interface UpgradeResponse {
  readonly response: ServerResponse;
  /** Takes the response off the socket: the upgrade was accepted, the bytes are the caller's. */
  detach(): void;
}

/**
 * Node hands the bare socket to whoever handles an upgrade. This makes a response for it; once that is complete, `giveBack`
 * gets the connection, with `head` in it again, so that a refused client may send its next request on it.
 */
export function createUpgradeResponse(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  giveBack: (socket: Duplex) => void,
): UpgradeResponse {
  const response = new ServerResponse(request);
  if (/\bclose\b/i.test(request.headers.connection ?? '')) response.shouldKeepAlive = false;
  const connection = socket as Socket; // what assignSocket wants; it only uses what every Duplex has
  const onError = () => {}; // 'close' follows, which the response passes on
  const onDrain = () => response.emit('drain');
  const detach = () => {
    response.detachSocket(connection);
    socket.off('error', onError);
    socket.off('drain', onDrain);
  };
  socket.on('error', onError);
  socket.on('drain', onDrain);
  response.assignSocket(connection);
  response.on('finish', () => {
    detach();
    if (socket.destroyed) return;
    if (!response.shouldKeepAlive || saysClose(response)) {
      socket.end(() => socket.destroy());
      return;
    }
    if (head.length > 0) socket.unshift(head);
    giveBack(socket);
  });
  return { response, detach };
}

/** Whether `Connection: close` was among the headers: a flag of Node's, by which its own server goes as well. */
function saysClose(response: ServerResponse): boolean {
  return '_last' in response && response._last === true;
}

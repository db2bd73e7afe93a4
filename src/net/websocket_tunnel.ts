import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Log } from '../observability/log.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Http1Handlers } from './http1_server.ts';
import type { ByteCounts } from './session.ts';
import { CloseCode } from './websocket_frames.ts';
import { acceptHandshake, refuseHandshake, selectSubprotocol, TUNNEL_SUBPROTOCOL } from './websocket_handshake.ts';
import { WebSocketStream } from './websocket_stream.ts';

export interface WebSocketTunnelOptions {
  /** The value of the `Server` header, `gitlab-kas/<version>/<commit>`. */
  readonly serverHeader: string;
  readonly scope: Scope;
  readonly log: Log;
  /** Takes the HTTP/2 connection that came in a WebSocket: `front.accept`. */
  readonly accept: (transport: Duplex & ByteCounts, remoteAddress: string, connection: Duplex) => void;
}

/**
 * The HTTP/1.1 side of the agent listener: whatever the path, a request is the handshake of a WebSocket that carries an HTTP/2
 * connection, or is told what it lacks (docs/protocol/listeners.md).
 */
export function createWebSocketTunnel(options: WebSocketTunnelOptions): Required<Http1Handlers> {
  const { serverHeader, scope, log, accept } = options;
  return {
    shouldUpgrade: (req) => refuseHandshake(req) === undefined,

    request(req, res) {
      const refusal = refuseHandshake(req);
      const body = `${refusal?.message ?? 'no WebSocket handshake'}\n`;
      // Asked before the head is written: node takes the `Connection: Upgrade` in it for a wish to stay.
      const stays = res.shouldKeepAlive;
      res.writeHead(refusal?.status ?? 400, {
        ...refusal?.headers,
        'Content-Type': 'text/plain; charset=utf-8',
        'Content-Length': Buffer.byteLength(body),
        'X-Content-Type-Options': 'nosniff',
        Server: serverHeader,
      });
      res.end(body, () => {
        if (!stays) req.socket.end();
      });
      req.resume();
    },

    upgrade(req, socket, head) {
      const subprotocol = selectSubprotocol(req);
      socket.write(acceptHandshake(req, subprotocol, serverHeader));
      const stream = new WebSocketStream(socket, head, scope);
      if (subprotocol !== TUNNEL_SUBPROTOCOL) {
        const reason = `Expecting "${TUNNEL_SUBPROTOCOL}" subprotocol, got ${JSON.stringify(subprotocol)}`;
        if (log.debugEnabled) log.debug('WebSocket refused', { error: reason });
        stream.closeWebSocket(CloseCode.ProtocolError, reason);
        return;
      }
      accept(stream, remoteAddress(req), socket);
    },
  };
}

function remoteAddress(req: IncomingMessage): string {
  return req.socket.remoteAddress ?? '';
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createHttp1Server } from '../../../src/net/http1_server.ts';
import { createUpgradeResponse, type UpgradeResponse } from '../../../src/net/upgrade_response.ts';

interface Upgrading extends UpgradeResponse {
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** A client's connection to an HTTP/1.1 server of ours, without a socket: the test writes and reads the client's bytes. */
export class HttpConnection {
  /** The client's end. */
  readonly client: Duplex;
  /** All that the client was sent; `latin1`. */
  received = '';
  /** How many requests the server has got. */
  requests = 0;
  /** The server has ended, or destroyed, the connection. */
  ended = false;

  constructor(handle: (request: IncomingMessage, response: ServerResponse, upgrade?: Upgrading) => void) {
    const [client, server] = duplexPair();
    this.client = client;
    Object.assign(server, { setTimeout: () => server }); // Deno's HTTP server takes every connection for a socket
    client.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
    });
    client.on('error', () => {});
    const end = () => {
      this.ended = true;
    };
    client.on('end', end);
    client.on('close', end);
    server.on('close', () => {
      // A pair of streams does not tell one side that the other was destroyed, as sockets do.
      if (!client.destroyed) client.destroy();
    });
    client.on('close', () => {
      if (!server.destroyed) server.destroy();
    });
    const http = createHttp1Server(
      {
        request: (request, response) => {
          this.requests++;
          handle(request, response);
        },
        upgrade: (request, socket, head, giveBack) => {
          this.requests++;
          const upgrading = createUpgradeResponse(request, socket, head, giveBack);
          handle(request, upgrading.response, { ...upgrading, socket, head });
        },
      },
      {},
    );
    http.emit('connection', server);
  }

  write(text: string): void {
    this.client.write(text, 'latin1');
  }

  /** Resolves once `condition` holds, to be found out in turns of the event loop. */
  async until(condition: () => boolean, what: string): Promise<void> {
    for (let turn = 0; !condition(); turn++) {
      if (turn > 2000) throw new Error(`${what} did not come; the client has: ${this.received}`);
      await nextTurn();
    }
  }

  /** Lets everything happen that is going to happen without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await nextTurn();
  }
}

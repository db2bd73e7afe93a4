import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Stream } from '../../../src/http2/stream.ts';
import { type Front, type FrontHandlers, type FrontOptions, openFront } from '../../../src/net/front.ts';
import { createWebSocketTunnel } from '../../../src/net/websocket_tunnel.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { silentLog } from '../../support/silent_log.ts';

export interface Opened {
  readonly front: Front;
  readonly endpoint: Endpoint;
  readonly scope: Scope;
}

interface More extends Partial<Omit<FrontOptions, 'handlers'>> {
  readonly clock?: Clock;
  /** What clients of a TLS listener trust. */
  readonly ca?: string;
}

/** Opens a listener that is closed after the test. */
export async function open(t: TestContext, handlers: FrontHandlers, more: More = {}): Promise<Opened> {
  const scope = new Scope(more.clock ?? systemClock);
  t.after(() => scope.close());
  const listen = more.listen ?? { network: 'tcp', address: '127.0.0.1:0', tls: undefined };
  const front = await openFront({ log: silentLog, random: systemRandom, ...more, listen, handlers, scope });
  return { front, scope, endpoint: endpointOf(front, more.ca) };
}

/** The handlers of an agent listener: gRPC (`stream`), inside a WebSocket too. */
export async function openWithWebSocket(
  t: TestContext,
  stream: NonNullable<FrontHandlers['stream']>,
  more: More = {},
): Promise<Opened> {
  const tunnelScope = new Scope(more.clock ?? systemClock);
  t.after(() => tunnelScope.close());
  const tunnel = createWebSocketTunnel({
    serverHeader: 'gitlab-kas/v0.0.0/00000000',
    scope: tunnelScope,
    log: silentLog,
    accept: (...transport) => opened.front.accept(...transport),
  });
  const opened = await open(t, { ...tunnel, stream }, more);
  return opened;
}

/** Answers, and has no interest in what it was asked. */
export function answer(stream: Stream, body: string | Buffer): void {
  stream.open({ data() {}, ended() {}, drained() {}, closed() {} });
  stream.resume();
  stream.sendHeaders({ ':status': 200 });
  stream.write(Buffer.from(body));
  stream.end();
}

/** Answers with what it was asked for. */
export const echoHandlers: Required<Pick<FrontHandlers, 'request' | 'stream'>> = {
  request: (req, res) => void res.end(`HTTP/1.1 ${req.method} ${req.url}`),
  stream(stream, headers) {
    answer(stream, `HTTP/2 ${headers[':method']} ${headers[':path']}`);
  },
};

function endpointOf(front: Front, ca?: string): Endpoint {
  if (front.network === 'unix') return { network: 'unix', host: '', port: 0, path: front.address, ca };
  return { network: 'tcp', host: '127.0.0.1', port: portOf(front.address), path: '', ca };
}

export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** Files in a folder that is removed after the test. */
export function temporaryFolder(t: TestContext): {
  path(name: string): string;
  write(name: string, text: string): string;
} {
  const folder = mkdtempSync(join(tmpdir(), 'net-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  return {
    path,
    write(name, text) {
      writeFileSync(path(name), text);
      return path(name);
    },
  };
}

/** Whether somebody takes connections there. */
export function answers(options: { host: string; port: number } | { path: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(options);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

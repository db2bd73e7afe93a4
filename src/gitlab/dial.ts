import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type DetailedPeerCertificate, type SecureContext } from 'node:tls';
import type { Clock } from '../runtime/clock.ts';
import { hostOf, portOf } from './proxy_choice.ts';

const CONNECT_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A proxy's answer to CONNECT is a few lines. */
const MAX_PROXY_ANSWER = 16 * 1024;

export interface DialOptions {
  readonly origin: URL;
  readonly proxy: URL | undefined;
  readonly secureContext: SecureContext;
  readonly userAgent: string;
  readonly clock: Clock;
}

/** Opens a connection on which HTTP/1.1 can be spoken with the origin (or, without TLS, with the proxy in its name). */
export async function dial(options: DialOptions): Promise<Socket> {
  const { origin, proxy } = options;
  let socket = await openTcp(proxy ?? origin, options.clock);
  if (proxy?.protocol === 'https:') socket = await secure(socket, hostOf(proxy), options);
  if (proxy !== undefined && origin.protocol === 'https:') await openTunnel(socket, proxy, options);
  return origin.protocol === 'https:' ? secure(socket, hostOf(origin), options) : socket;
}

/** The certificates that the origin shows, whether they are trusted or not. Nothing is sent to it. */
export async function lookAtCertificate(options: DialOptions): Promise<DetailedPeerCertificate> {
  const { origin, proxy, clock } = options;
  let socket = await openTcp(proxy ?? origin, clock);
  if (proxy?.protocol === 'https:') socket = await secure(socket, hostOf(proxy), options);
  if (proxy !== undefined) await openTunnel(socket, proxy, options);
  const host = hostOf(origin);
  const tls = connectTls({ socket, rejectUnauthorized: false, host, ...(isIP(host) === 0 && { servername: host }) });
  await until(tls, 'secureConnect', clock, HANDSHAKE_TIMEOUT_MS, 'the TLS handshake took too long');
  const shown = tls.getPeerCertificate(true);
  tls.destroy();
  return shown;
}

function openTcp(to: URL, clock: Clock): Promise<Socket> {
  const socket = connectTcp({ host: hostOf(to), port: portOf(to), noDelay: true, keepAlive: true });
  return until(socket, 'connect', clock, CONNECT_TIMEOUT_MS, 'connecting took too long');
}

function secure(socket: Socket, host: string, { secureContext, clock }: DialOptions): Promise<Socket> {
  const tls = connectTls({ socket, secureContext, host, ...(isIP(host) === 0 && { servername: host }) });
  return until(tls, 'secureConnect', clock, HANDSHAKE_TIMEOUT_MS, 'the TLS handshake took too long');
}

/** The socket once `event` has come; it is destroyed if it fails or takes longer than `timeoutMs`. */
function until<S extends Socket>(socket: S, event: string, clock: Clock, timeoutMs: number, late: string): Promise<S> {
  return new Promise((resolve, reject) => {
    const timer = clock.startTimer(timeoutMs, () => socket.destroy(new Error(late)));
    const fail = (error: Error) => {
      timer.stop();
      reject(error);
    };
    const close = () => fail(new Error('the connection was closed while it was being opened'));
    // Stays: an error may come at any time, and whoever reads the socket later hears of it by itself.
    socket.on('error', fail);
    socket.once('close', close);
    socket.once(event, () => {
      timer.stop();
      socket.off('close', close);
      resolve(socket);
    });
  });
}

/** Has the proxy connect the socket to the origin. */
function openTunnel(socket: Socket, proxy: URL, { origin, userAgent, clock }: DialOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const timer = clock.startTimer(CONNECT_TIMEOUT_MS, () =>
      fail(new Error('the proxy took too long to answer CONNECT')),
    );
    const stop = () => {
      timer.stop();
      socket.off('data', onData).off('error', fail).off('close', onClose);
    };
    const fail = (error: Error) => {
      stop();
      socket.destroy();
      reject(error);
    };
    const onClose = () => fail(new Error('the proxy closed the connection instead of answering CONNECT'));
    const onData = (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) {
        if (answer.length > MAX_PROXY_ANSWER) fail(new Error('the proxy gave no proper answer to CONNECT'));
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer.toString('latin1', 0, end))?.[1];
      if (status?.startsWith('2') !== true) {
        fail(new Error(`the proxy answered CONNECT with ${status ?? 'no HTTP status'}`));
        return;
      }
      stop();
      socket.pause();
      if (end + 4 < answer.length) socket.unshift(answer.subarray(end + 4));
      resolve();
    };
    socket.on('data', onData).on('error', fail).on('close', onClose);
    const target = `${origin.hostname}:${portOf(origin)}`;
    const lines = [
      `CONNECT ${target} HTTP/1.1`,
      `Host: ${target}`,
      `User-Agent: ${userAgent}`,
      ...proxyAuthorization(proxy),
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  });
}

/** The header line for the credentials in the proxy's URL, if it has any. */
export function proxyAuthorization(proxy: URL): string[] {
  if (proxy.username === '' && proxy.password === '') return [];
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return [`Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}`];
}

import { isIPv4, isIPv6 } from 'node:net';
import type { Network } from '../config/config.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** A host and a port to bind; `ipv6Only` keeps an IPv6 wildcard from taking IPv4 connections too. */
export interface BindTarget {
  readonly host: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  /** Bound as well when it can be, on the port of the target before it; that it cannot is no failure. */
  readonly optional: boolean;
}

/**
 * Where a listener with this address binds. `localhost` means both loopback addresses and an empty or wildcard host
 * both families, unless the network names one family (docs/protocol/listeners.md). Host names are returned as they are.
 * @throws AppError if the address is no host:port.
 */
export function bindTargets(network: Exclude<Network, 'unix'>, address: string): BindTarget[] {
  const { host, port } = splitHostPort(network, address);
  const target = (name: string, more: Partial<BindTarget> = {}): BindTarget => ({
    host: name,
    port,
    ipv6Only: false,
    optional: false,
    ...more,
  });
  if (host.toLowerCase() === 'localhost') {
    if (network === 'tcp4') return [target('127.0.0.1')];
    if (network === 'tcp6') return [target('::1', { ipv6Only: true })];
    return [target('127.0.0.1'), target('::1', { ipv6Only: true, optional: true })];
  }
  if (host === '' || host === '0.0.0.0' || host === '::') {
    if (network === 'tcp4') return [target('0.0.0.0')];
    if (network === 'tcp6') return [target('::', { ipv6Only: true })];
    return [target('::')];
  }
  return [target(host, { ipv6Only: network === 'tcp6' })];
}

/** `host:port`, with brackets where the host has colons. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether an address of this family can be listened on in `network`; host names are judged after their resolution. */
export function familyFits(network: Network, ip: string): boolean {
  if (network === 'tcp4') return isIPv4(ip);
  if (network === 'tcp6') return isIPv6(ip);
  return true;
}

function splitHostPort(network: string, address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(address);
  if (match === null) {
    throw listenError(
      network,
      `address ${address}: ${address.includes(':') ? 'too many colons' : 'missing port'} in address`,
    );
  }
  const portText = match[3] ?? '';
  const port = portText === '' ? 0 : Number(portText);
  if (!/^\d*$/.test(portText) || port > 65535) throw listenError(network, `address ${portText}: invalid port`);
  return { host: match[1] ?? match[2] ?? '', port };
}

/** An error in the words that Go programs use for a socket that could not be bound. */
export function listenError(where: string, text: string, more: { hint?: string; cause?: unknown } = {}): AppError {
  return new AppError(StatusCode.FailedPrecondition, `listen ${where}: ${text}`, more);
}

import { networkInterfaces } from 'node:os';
import process from 'node:process';
import type { Machine } from './own_private_api.ts';

/** The machine that the process runs on. */
export function thisMachine(): Machine {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  // Link-local IPv6 addresses come with their interface on some runtimes.
  return { env: process.env, addresses: addresses.map(({ address }) => address.replace(/%.*/, '')) };
}

import type { Config } from './config.ts';
import { deepFreeze } from './freeze.ts';
import { Secret } from './secret.ts';

/**
 * The configuration in a form that another process of ours can be sent: so all workers have the one that was read at the
 * start, secrets included, whatever has become of the files since. What it returns shows secrets: it is for the channel alone.
 */
export function packConfig(config: Config): unknown {
  return pack(config);
}

/** What `packConfig` packed, frozen again. */
export function unpackConfig(packed: unknown): Config {
  return deepFreeze(unpack(packed)) as Config;
}

/** The marks are keys that no configuration has. */
const secretMark = '$secret';
const urlMark = '$url';

function pack(value: unknown): unknown {
  if (value instanceof Secret) return { [secretMark]: value.reveal() };
  if (value instanceof URL) return { [urlMark]: value.href };
  return map(value, pack);
}

function unpack(value: unknown): unknown {
  if (isPlain(value)) {
    if (secretMark in value) return new Secret(value[secretMark] as Buffer);
    if (urlMark in value) return new URL(value[urlMark] as string);
  }
  return map(value, unpack);
}

/** Members of lists and plain objects, each through `f`; anything else as it is. */
function map(value: unknown, f: (member: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(f);
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, f(member)]));
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

import { canonicalHeaderName } from './go_headers.ts';
import type { ImpersonationConfig } from './messages.ts';

export const NESTED_IMPERSONATION =
  'nested impersonation is not supported - agent is already configured to impersonate an identity';

type Headers = Map<string, string[]>;

export function isSet(config: ImpersonationConfig | undefined): config is ImpersonationConfig {
  return (
    config !== undefined &&
    (config.username !== '' || config.groups.length > 0 || config.uid !== '' || config.extra.length > 0)
  );
}

/** Whether the request itself asks for an identity. Names are compared as they are: a lower-case one is missed, as by agentk. */
export function requestImpersonates(headers: Headers): boolean {
  for (const name of headers.keys()) {
    if (!name.startsWith('Impersonate-')) continue;
    if (
      name === 'Impersonate-User' ||
      name === 'Impersonate-Uid' ||
      name === 'Impersonate-Group' ||
      name.startsWith('Impersonate-Extra-')
    )
      return true;
  }
  return false;
}

/** Adds the headers for `config`, unless the request has an identity already. */
export function addImpersonation(headers: Headers, config: ImpersonationConfig): void {
  if (headers.get('Impersonate-User')?.[0]) return;
  headers.set('Impersonate-User', [config.username]);
  if (config.uid !== '') headers.set('Impersonate-Uid', [config.uid]);
  for (const group of config.groups) add(headers, 'Impersonate-Group', group);
  for (const [key, values] of config.extra) {
    const name = canonicalHeaderName(`Impersonate-Extra-${escapeKey(key)}`);
    for (const value of values) add(headers, name, value);
  }
}

function add(headers: Headers, name: string, value: string): void {
  const list = headers.get(name);
  if (list === undefined) headers.set(name, [value]);
  else list.push(value);
}

/** Bytes that no header name may have, and `%`, become %XX. */
function escapeKey(key: string): string {
  let out = '';
  for (const byte of Buffer.from(key, 'utf8')) {
    const character = String.fromCharCode(byte);
    out +=
      byte < 128 && character !== '%' && /[!#$&'*+\-.^_`|~0-9A-Za-z]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

import type { DsnComponents } from '@sentry/core';

/**
 * `https://<public key>@<host>/<path>/<project>` in its parts. The library's own parser writes what it cannot read to the
 * console.
 */
export function parseDsn(text: string): DsnComponents | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || !/^[\w-]+$/.test(url.username)) return undefined;
  const [, path = '', projectId] = /^\/(?:(.*)\/)?([^/]+)\/?$/.exec(url.pathname) ?? [];
  if (projectId === undefined) return undefined;
  return {
    protocol: url.protocol === 'https:' ? 'https' : 'http',
    publicKey: url.username,
    pass: '',
    host: url.hostname,
    port: url.port,
    path,
    projectId,
  };
}

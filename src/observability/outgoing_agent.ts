import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';

/**
 * Connections to a service of the administrator's: through the proxy that the environment names, if any. Node finds it there by
 * itself; Deno does not look.
 * @param ca certificates to trust, in PEM
 */
export function outgoingAgent(
  protocol: string,
  { env, ca }: { readonly env: Readonly<Record<string, string | undefined>>; readonly ca: readonly string[] },
): HttpAgent | HttpsAgent {
  const proxied = { keepAlive: true, proxyEnv: env as NodeJS.ProcessEnv };
  return protocol === 'http:'
    ? new HttpAgent(proxied)
    : new HttpsAgent({ ...proxied, ca: [...ca], minVersion: 'TLSv1.2' });
}

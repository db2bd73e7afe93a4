import type { SecureContext } from 'node:tls';
import type { Config } from '../config/config.ts';
import { OutgoingLog } from '../net/outgoing_log.ts';
import { clientSecureContext, type Environment } from '../net/trusted_roots.ts';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { GitalyClient } from './client.ts';
import type { Lookup } from './endpoints.ts';
import { listFiles } from './list_files.ts';
import { type GitalyMetrics, Pool } from './pool.ts';
import { findRef, readFile } from './read.ts';

/** A client of whatever Gitalys GitLab names; close it when nobody calls any more. */
export function createGitalyClient(deps: {
  readonly config: Config['gitaly'];
  readonly clock: Clock;
  /** `gitlab-kas/<version>/<commit>` */
  readonly identity: string;
  /** Where the names of trusted certificates are looked up. */
  readonly env: Environment;
  /** How `dns:` names are resolved; default the system's way. */
  readonly lookup?: Lookup;
  readonly metrics?: GitalyMetrics;
  /** Of the connections; undefined: nobody is told of them. */
  readonly grpcLog?: Log | undefined;
}): GitalyClient & { close(): void } {
  const { config, clock, identity, env, lookup, metrics, grpcLog } = deps;
  let secureContext: SecureContext | undefined;
  const pool = new Pool({
    limits: config,
    clock,
    userAgent: identity,
    metrics,
    lookup,
    outgoing: grpcLog && new OutgoingLog(grpcLog, clock),
    // Made when it is needed first: it reads a hundred certificates, and few Gitalys have TLS.
    secureContext() {
      secureContext ??= clientSecureContext(env, undefined);
      return secureContext;
    },
  });
  return {
    findRef: (at, ref, options) => findRef(pool, at, ref, options),
    readFile: (at, file, options) => readFile(pool, at, file, options),
    listFiles: (at, folder, options) => listFiles(pool, at, folder, options),
    close: () => pool.close(),
  };
}

import type { TestContext } from 'node:test';
import type { GitLabConfig } from '../../../src/config/config.ts';
import { Secret } from '../../../src/config/secret.ts';
import type { GitLabClient } from '../../../src/gitlab/client.ts';
import { createGitLabClient } from '../../../src/gitlab/create_client.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { silentLog } from '../../support/silent_log.ts';

export interface ClientOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly secret?: Buffer;
  readonly caCertificateFile?: string;
}

/** A client of the GitLab at `address`, closed when the test ends. */
export function openClient(t: TestContext, address: string, options: ClientOptions = {}): GitLabClient {
  const config: GitLabConfig = {
    address: new URL(address),
    authenticationSecret: new Secret(options.secret ?? Buffer.alloc(32, 7)),
    caCertificateFile: options.caCertificateFile,
    apiRateLimit: { refillRatePerSecond: 50, bucketSize: 250 },
    externalUrl: '',
  };
  const client = createGitLabClient({
    config,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    identity: 'gitlab-kas/v0.0.0/00000000',
    env: options.env ?? {},
  });
  t.after(() => client.close());
  return client;
}

/** For calls that must end by themselves; far beyond what they take. */
export function patience(): { readonly signal: AbortSignal } {
  return { signal: AbortSignal.timeout(20_000) };
}

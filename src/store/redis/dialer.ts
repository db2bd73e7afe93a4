import type { RedisConfig, RedisSentinelConfig } from '../../config/config.ts';
import type { Secret } from '../../config/secret.ts';
import type { Environment } from '../../net/trusted_roots.ts';
import type { Scope } from '../../runtime/scope.ts';
import { type RedisAddress, RedisLink } from './link.ts';
import { RedisError } from './redis_error.ts';
import { asArray, type Command } from './reply.ts';
import { findMaster } from './sentinel.ts';
import { TlsContext } from './tls_context.ts';

const CLIENT_NAME = 'gitlab-kas';

/** Opens connections to the Redis of the configuration, wherever it is now, and logs in (docs/protocol/redis.md, connection). */
export class RedisDialer {
  readonly #config: RedisConfig;
  readonly #tls: TlsContext | undefined;
  readonly #sentinelTls: TlsContext | undefined;

  constructor(config: RedisConfig, env: Environment) {
    this.#config = config;
    this.#tls = config.tls && new TlsContext(config.tls, env);
    const { endpoint } = config;
    this.#sentinelTls = 'masterName' in endpoint && endpoint.tls ? new TlsContext(endpoint.tls, env) : undefined;
  }

  /**
   * @param scope what the connection lives in
   * @throws RedisError that says what is wrong and, where it can be known, what to do
   */
  async dial(scope: Scope): Promise<RedisLink> {
    const { dialTimeoutMs, writeTimeoutMs, username, password, databaseIndex, endpoint } = this.#config;
    const times = { dialTimeoutMs, answerTimeoutMs: writeTimeoutMs, scope };
    const sentinel = 'masterName' in endpoint ? endpoint : undefined;
    const address = sentinel === undefined ? this.#address() : await this.#master(sentinel, scope);
    const link = await RedisLink.dial({ address, tls: this.#tls?.get(), ...times });
    try {
      await login(link, username, password, 'redis.password_file');
      if (databaseIndex !== 0) await link.send(['SELECT', String(databaseIndex)]);
      // A name for CLIENT LIST; a user that may not give itself one works as well.
      link.send(['CLIENT', 'SETNAME', CLIENT_NAME]).catch(() => {});
      if (sentinel !== undefined) await requireMaster(link);
      else await link.send(['PING']);
      return link;
    } catch (error) {
      link.close(error as RedisError);
      throw error;
    }
  }

  #address(): RedisAddress {
    const { network, endpoint } = this.#config;
    const { address } = endpoint as { address: string };
    return network === 'unix' ? { path: address } : splitAddress(address);
  }

  async #master(sentinel: RedisSentinelConfig, scope: Scope): Promise<RedisAddress> {
    const { dialTimeoutMs, writeTimeoutMs, username } = this.#config;
    const tls = this.#sentinelTls?.get();
    return findMaster({
      masterName: sentinel.masterName,
      addresses: sentinel.addresses.map(splitAddress),
      async dial(address) {
        const link = await RedisLink.dial({ address, tls, dialTimeoutMs, answerTimeoutMs: writeTimeoutMs, scope });
        try {
          await login(link, username, sentinel.password, 'redis.sentinel.sentinel_password_file');
          return link;
        } catch (error) {
          link.close(error as RedisError);
          throw error;
        }
      },
    });
  }
}

/** As configuration and sentinels write it; brackets around IPv6 addresses. Checked with the configuration. */
function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host: host === '' ? 'localhost' : host, port: Number(address.slice(colon + 1)) };
}

/** Without a password nobody logs in: a server that wants one says so to the first command. */
async function login(link: RedisLink, username: string, password: Secret | undefined, key: string): Promise<void> {
  if (password === undefined) return;
  const command: Command = username === '' ? ['AUTH'] : ['AUTH', username];
  try {
    await link.send([...command, password.reveal()]);
  } catch (error) {
    if (!(error instanceof RedisError && error.answered)) throw error;
    throw new RedisError(error.message, { cause: error, answered: true, hint: `check redis.username and ${key}` });
  }
}

/** Sentinels may name a server that has just been replaced, or has yet to learn that it is the master. */
async function requireMaster(link: RedisLink): Promise<void> {
  const role = String(asArray(await link.send(['ROLE']))[0]);
  if (role !== 'master') throw new RedisError(`the server that the sentinels name is a ${role}, not the master`);
}

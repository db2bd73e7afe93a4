import type { RedisConfig, RedisSentinelConfig } from '../../config/config.ts';
import type { Secret } from '../../config/secret.ts';
import { ClientTlsContext } from '../../net/client_tls_context.ts';
import type { Environment } from '../../net/trusted_roots.ts';
import type { Scope } from '../../runtime/scope.ts';
import { type RedisAddress, RedisLink } from './link.ts';
import { RedisError } from './redis_error.ts';
import { asArray, type Command } from './reply.ts';
import { findMaster, type HostPort, type Sentinels, watchMaster } from './sentinel.ts';

const CLIENT_NAME = 'gitlab-kas';

/** Opens connections to the Redis of the configuration, wherever it is now, and logs in (docs/protocol/redis.md, connection). */
export class RedisDialer {
  readonly #config: RedisConfig;
  readonly #tls: ClientTlsContext | undefined;
  readonly #sentinelTls: ClientTlsContext | undefined;

  constructor(config: RedisConfig, env: Environment) {
    this.#config = config;
    this.#tls = config.tls && new ClientTlsContext(config.tls, env);
    const { endpoint } = config;
    this.#sentinelTls = 'masterName' in endpoint && endpoint.tls ? new ClientTlsContext(endpoint.tls, env) : undefined;
  }

  /**
   * @param scope of the connection: closed when it has ended
   * @throws RedisError that says what is wrong and, where it can be known, what to do
   */
  async dial(scope: Scope): Promise<RedisLink> {
    const { network, endpoint } = this.#config;
    if ('address' in endpoint) {
      const { address } = endpoint;
      const link = await this.#logIn(network === 'unix' ? { path: address } : splitAddress(address), scope);
      return prepared(link, () => link.send(['PING']));
    }
    const sentinels = this.#sentinels(endpoint, scope);
    const master = await findMaster(sentinels);
    const link = await this.#logIn(master, scope);
    await prepared(link, () => requireMaster(link));
    void watchMaster(sentinels, master, link, scope);
    return link;
  }

  async #logIn(address: RedisAddress, scope: Scope): Promise<RedisLink> {
    const { dialTimeoutMs, writeTimeoutMs, username, password, databaseIndex } = this.#config;
    const tls = this.#tls?.get();
    const link = await RedisLink.dial({ address, tls, dialTimeoutMs, answerTimeoutMs: writeTimeoutMs, scope });
    return prepared(link, async () => {
      await login(link, username, password, 'redis.password_file');
      if (databaseIndex !== 0) await link.send(['SELECT', String(databaseIndex)]);
      // A name for CLIENT LIST; a user that may not give itself one works as well.
      link.send(['CLIENT', 'SETNAME', CLIENT_NAME]).catch(() => {});
    });
  }

  #sentinels({ masterName, addresses, password }: RedisSentinelConfig, scope: Scope): Sentinels {
    const { dialTimeoutMs, writeTimeoutMs, username } = this.#config;
    const tls = this.#sentinelTls?.get();
    return {
      masterName,
      addresses: addresses.map(splitAddress),
      async dial(address) {
        const link = await RedisLink.dial({ address, tls, dialTimeoutMs, answerTimeoutMs: writeTimeoutMs, scope });
        return prepared(link, () => login(link, username, password, 'redis.sentinel.sentinel_password_file'));
      },
    };
  }
}

/** The connection, closed if `prepare` fails. */
async function prepared(link: RedisLink, prepare: () => Promise<unknown>): Promise<RedisLink> {
  try {
    await prepare();
    return link;
  } catch (error) {
    link.close(error as RedisError);
    throw error;
  }
}

/** As configuration and sentinels write it; brackets around IPv6 addresses. Checked with the configuration. */
function splitAddress(address: string): HostPort {
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

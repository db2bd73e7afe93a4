import type { Scope } from '../../runtime/scope.ts';
import type { TunnelDirectory } from '../tunnel_directory.ts';
import type { RedisConnection } from './connection.ts';
import { encodeExpiring } from './expiring_value.ts';
import { removeExpired, scanHash } from './hash_scan.ts';
import type { Keys } from './keys.ts';
import type { Lifetime } from './lifetime.ts';
import { RedisError } from './redis_error.ts';
import type { Command } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** In one transaction: short enough for Redis to do something else in between. */
const AGENTS_AT_A_TIME = 200;

interface Announcement {
  announced: boolean;
  /** When what Redis has expires, on the wall clock; 0: it has nothing, or nobody knows what. */
  expiresAtMs: number;
  /** It was there before this was written: it has proved worth a longer life. */
  renewed: boolean;
}

/** How Redis is told of one agent. */
interface Change {
  /** What it is called in the log if Redis refuses it. */
  readonly what: string;
  readonly commands: Command[];
  readonly done: () => void;
}

class ChangeRefused extends RedisError {
  readonly what: string;

  constructor(what: string, cause: Error) {
    super(cause.message, { cause, answered: true });
    this.what = what;
  }
}

/** A refusal is an answer, too. */
function refusal(error: unknown): Error {
  if (error instanceof RedisError && error.answered) return error;
  throw error;
}

/** Which nodes have tunnels of which agents, in a hash for each agent with the nodes' URLs as fields. */
export class RedisTunnelDirectory implements TunnelDirectory {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #urls: readonly string[];
  readonly #lifetime: Lifetime;
  readonly #scope: Scope;
  readonly #trouble: Trouble;
  /** What was announced, and what was withdrawn and may still be in Redis. */
  readonly #agents = new Map<bigint, Announcement>();
  /** Agents that Redis has to be told of, oldest first. */
  readonly #untold = new Set<bigint>();
  #telling: Promise<void> | undefined;
  #left = false;

  constructor(deps: {
    readonly redis: RedisConnection;
    readonly keys: Keys;
    readonly ownUrls: readonly string[];
    readonly lifetime: Lifetime;
    readonly scope: Scope;
    readonly trouble: Trouble;
  }) {
    this.#redis = deps.redis;
    this.#keys = deps.keys;
    this.#urls = deps.ownUrls;
    this.#lifetime = deps.lifetime;
    this.#scope = deps.scope;
    this.#trouble = deps.trouble;
    this.#lookAgain();
  }

  announce(agentId: bigint): void {
    if (this.#left) return;
    const known = this.#agents.get(agentId);
    if (known === undefined) this.#agents.set(agentId, { announced: true, expiresAtMs: 0, renewed: false });
    else known.announced = true;
    this.#tell(agentId);
  }

  withdraw(agentId: bigint): void {
    const known = this.#agents.get(agentId);
    if (known === undefined) return;
    known.announced = false;
    this.#tell(agentId);
  }

  async leave(): Promise<void> {
    this.#left = true;
    for (const agentId of [...this.#agents.keys()]) this.withdraw(agentId);
    await this.idle();
  }

  async nodesOf(agentId: bigint): Promise<readonly string[]> {
    const key = this.#keys.tunnelNodes(agentId);
    const nowSeconds = Math.floor(this.#scope.clock.wallMs() / 1000);
    const found = await scanHash(this.#redis, key, nowSeconds, this.#trouble);
    removeExpired(this.#redis, key, found);
    return found.live.map(({ field }) => field.toString());
  }

  /** Redis may have forgotten everything: tells it all again. */
  retell(): void {
    for (const [agentId, known] of this.#agents) {
      known.renewed = false;
      if (known.announced) known.expiresAtMs = 0;
      this.#untold.add(agentId);
    }
    this.#startTelling();
  }

  /** Resolves when Redis has been told of everything, or cannot be. */
  async idle(): Promise<void> {
    while (this.#telling !== undefined) await this.#telling;
  }

  #tell(agentId: bigint): void {
    this.#untold.add(agentId);
    this.#startTelling();
  }

  #startTelling(): void {
    if (this.#untold.size === 0 || !this.#redis.isUp) return;
    this.#telling ??= this.#tellAll().finally(() => {
      this.#telling = undefined;
    });
  }

  /** What changes while a batch is on its way goes with the next one: the busier Redis is, the larger they become. */
  async #tellAll(): Promise<void> {
    await Promise.resolve(); // all changes of one turn go together
    while (this.#untold.size > 0 && this.#redis.isUp) {
      const batch = this.#untold.values().take(AGENTS_AT_A_TIME).toArray();
      for (const agentId of batch) this.#untold.delete(agentId);
      try {
        await this.#write(batch);
      } catch (error) {
        this.#trouble.failed(error instanceof ChangeRefused ? error.what : 'Failed to register tunnel', error);
        // Without a connection: told again when there is one. Else Redis has refused it, and would again at once.
      }
    }
  }

  async #write(batch: readonly bigint[]): Promise<void> {
    if (this.#urls.length === 0) return;
    const changes = batch.flatMap((agentId) => this.#change(agentId) ?? []);
    const commands = changes.flatMap((change) => change.commands);
    const [only] = commands;
    if (only === undefined) return;
    const replies =
      commands.length === 1 ? [await this.#redis.send(only).catch(refusal)] : await this.#redis.transaction(commands);
    let at = 0;
    let refused: ChangeRefused | undefined;
    for (const { commands: own, what, done } of changes) {
      const error = replies.slice(at, at + own.length).find((reply) => reply instanceof Error);
      at += own.length;
      if (error === undefined) done();
      else refused ??= new ChangeRefused(what, error as Error);
    }
    if (refused !== undefined) throw refused;
  }

  /** What tells Redis of the agent, and what to note when it was done. */
  #change(agentId: bigint): Change | undefined {
    const known = this.#agents.get(agentId);
    if (known === undefined) return undefined;
    const key = this.#keys.tunnelNodes(agentId);
    if (!known.announced) {
      return {
        what: 'Failed to unregister tunnel',
        commands: [['HDEL', key, ...this.#urls]],
        done: () => {
          if (!known.announced && this.#agents.get(agentId) === known) this.#agents.delete(agentId);
        },
      };
    }
    const lifeMs = known.renewed ? this.#lifetime.renewedMs(this.#agents.size) : this.#lifetime.firstMs;
    const expiresAtMs = this.#scope.clock.wallMs() + lifeMs;
    const value = encodeExpiring(Math.floor(expiresAtMs / 1000));
    return {
      what: known.renewed ? 'Failed to refresh data' : 'Failed to register tunnel',
      commands: [
        ['HSET', key, ...this.#urls.flatMap((url) => [url, value])],
        ['PEXPIRE', key, String(lifeMs)],
      ],
      done: () => {
        known.expiresAtMs = expiresAtMs;
      },
    };
  }

  #lookAgain(): void {
    this.#scope.timeout(this.#lifetime.lookEveryMs, () => {
      this.#renew();
      this.#lookAgain();
    });
  }

  /** Renews what would expire soon, and tries again what Redis has refused. */
  #renew(): void {
    const soonMs = this.#scope.clock.wallMs() + this.#lifetime.marginMs;
    for (const [agentId, known] of this.#agents) {
      if (known.expiresAtMs > soonMs && known.announced) continue;
      if (known.expiresAtMs > 0) known.renewed = true;
      this.#untold.add(agentId);
    }
    this.#startTelling();
  }
}

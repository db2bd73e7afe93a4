import type { Timer } from '../../runtime/clock.ts';
import { getOrPut } from '../../runtime/get_or_put.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { AgentConnection, AgentDirectory, ConnectedAgent } from '../agent_directory.ts';
import { isSamePod } from '../same_pod.ts';
import { decodePod, encodePod } from './connected_agent.ts';
import type { RedisConnection } from './connection.ts';
import { decodeExpiring, encodeExpiring } from './expiring_value.ts';
import { removeExpired, scanHash } from './hash_scan.ts';
import type { Keys } from './keys.ts';
import { decodeLastSeen, encodeGone } from './last_seen.ts';
import type { Lifetime } from './lifetime.ts';
import type { Patience } from './patience.ts';
import { asBytes, type Command, requireDone } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** Pods in one transaction, or agents asked about at a time: short enough for Redis to do something else in between. */
const AT_A_TIME = 200;

/** Pods that Redis could not be told of when they left; what nobody renews expires by itself. */
const MAX_GONE = 10_000;

/** A pod that has registered with this node. */
interface Registration {
  agent: ConnectedAgent;
  /** Ends it, unless it is repeated. */
  lapse: Timer;
  /** When what Redis has expires, on the wall clock; 0: it has nothing, or nobody knows what. */
  expiresAtMs: number;
  /** What Redis has. */
  written: Buffer | undefined;
}

/** Connected agents: each pod is a field in the hash of its agent and in that of its project, each agent one in that of all. */
export class RedisAgentDirectory implements AgentDirectory {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #lifetime: Lifetime;
  readonly #scope: Scope;
  readonly #patience: Patience;
  readonly #trouble: Trouble;
  /** By agent, then by connection. */
  readonly #here = new Map<bigint, Map<bigint, Registration>>();
  #count = 0;
  /** When each agent's field in the hash of all expires. */
  readonly #agentExpiresAtMs = new Map<bigint, number>();
  /** Pods that have gone, and may still be in Redis. */
  readonly #gone = new Map<string, ConnectedAgent>();
  #running = 0;
  readonly #idle: (() => void)[] = [];

  constructor(deps: {
    readonly redis: RedisConnection;
    readonly keys: Keys;
    readonly lifetime: Lifetime;
    readonly scope: Scope;
    readonly patience: Patience;
    readonly trouble: Trouble;
  }) {
    this.#redis = deps.redis;
    this.#keys = deps.keys;
    this.#lifetime = deps.lifetime;
    this.#scope = deps.scope;
    this.#patience = deps.patience;
    this.#trouble = deps.trouble;
    this.#lookAgain();
  }

  /** Resolves also when Redis is away: the pod is known here, and Redis is told when it is back. */
  async register(agent: ConnectedAgent, ttlMs: number): Promise<void> {
    const known = this.#here.get(agent.agentId)?.get(agent.connectionId);
    const isKnown = known !== undefined && known.expiresAtMs > 0 && saysTheSame(known.agent, agent);
    const replaced = this.#remember(agent, ttlMs);
    // What it says is in Redis already; when it was last heard of is told with the next renewal.
    if (isKnown) return;
    await this.#inTime('Failed to register agent', () => this.#tellOfNew(agent, replaced));
  }

  async unregister(connection: AgentConnection): Promise<void> {
    const registration = this.#forget(connection);
    const agent = registration?.agent ?? {
      ...connection,
      agentMeta: undefined,
      connectedAtMs: this.#scope.clock.wallMs(),
    };
    const pods =
      agent.projectId === connection.projectId ? [agent] : [agent, { ...agent, projectId: connection.projectId }];
    await this.#inTime('Failed to unregister agent', () => this.#remove(pods));
  }

  async byAgentIds(agentIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    return this.#pods(agentIds, (id) => this.#keys.podsOfAgent(id));
  }

  async byProjectIds(projectIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    return this.#pods(projectIds, (id) => this.#keys.podsOfProject(id));
  }

  async countByVersion(): Promise<ReadonlyMap<string, number>> {
    const { live } = await this.#scan(this.#keys.connectedAgents);
    const versions = new Map<bigint, Set<string>>();
    const ids = live.flatMap(({ field }) => asId(field.toString()) ?? []);
    for (const { agentId, agentMeta } of await this.byAgentIds(ids)) {
      const ofAgent = versions.get(agentId);
      const version = agentMeta?.version ?? '';
      if (ofAgent === undefined) versions.set(agentId, new Set([version]));
      else ofAgent.add(version);
    }
    const counts = new Map<string, number>();
    for (const version of [...versions.values()].flatMap((ofAgent) => [...ofAgent])) {
      counts.set(version, (counts.get(version) ?? 0) + 1);
    }
    return counts;
  }

  async count(): Promise<number> {
    return (await this.#scan(this.#keys.connectedAgents)).live.length;
  }

  async lastSeenMs(agentId: bigint): Promise<number | undefined> {
    const [field, pods] = await Promise.all([
      this.#redis.send(['HGET', this.#keys.connectedAgents, String(agentId)]),
      this.byAgentIds([agentId]),
    ]);
    const bytes = asBytes(field);
    const value = bytes && decodeExpiring(bytes);
    const times = pods.map(({ connectedAtMs }) => connectedAtMs);
    if (value !== undefined) times.push(decodeLastSeen(value, this.#lifetime.firstMs));
    return times.length === 0 ? undefined : Math.min(this.#scope.clock.wallMs(), Math.max(...times));
  }

  /** Redis may have forgotten everything: tells it all again. */
  retell(): void {
    this.#agentExpiresAtMs.clear();
    for (const registration of this.#registrations()) registration.expiresAtMs = 0;
    void this.#background('Failed to register agent', async () => {
      const gone = [...this.#gone.values()];
      this.#gone.clear();
      await this.#remove(gone);
      await this.#write(this.#registrations().filter(({ expiresAtMs }) => expiresAtMs === 0));
    });
  }

  /** Removes fields that have expired from the hashes that this node keeps alive. @returns how many */
  async collectGarbage(pause: () => Promise<boolean>): Promise<number> {
    let removed = 0;
    const agents = this.#registrations().map(({ agent }) => agent);
    const keys = new Set<string>();
    for (const { agentId, projectId } of agents) {
      for (const key of [this.#keys.podsOfAgent(agentId), this.#keys.podsOfProject(projectId)]) {
        keys.add(key.toString('latin1'));
      }
    }
    for (const name of keys) {
      const key = Buffer.from(name, 'latin1');
      const found = await this.#scan(key);
      removeExpired(this.#redis, key, found);
      removed += found.expired.length;
      if (!(await pause())) break;
    }
    return removed;
  }

  /** Resolves when Redis has been told of everything, or cannot be. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #registrations(): Registration[] {
    return [...this.#here.values()].flatMap((connections) => [...connections.values()]);
  }

  /** @returns what it takes the place of */
  #remember(agent: ConnectedAgent, ttlMs: number): ConnectedAgent[] {
    const { agentId, connectionId } = agent;
    const lapse = this.#scope.timeout(ttlMs, () => this.#lapsed(agent));
    const older = [...(this.#here.get(agentId)?.values() ?? [])].map((registration) => registration.agent);
    const replaced = older.filter((other) => isReplacedBy(other, agent));
    for (const other of replaced) this.#forget(other);
    const connections = getOrPut(this.#here, agentId, () => new Map<bigint, Registration>());
    const known = connections.get(connectionId);
    this.#gone.delete(nameOf(agent));
    if (known === undefined) {
      connections.set(connectionId, { agent, lapse, expiresAtMs: 0, written: undefined });
      this.#count++;
    } else {
      known.lapse.stop();
      known.lapse = lapse;
      if (!saysTheSame(known.agent, agent)) known.expiresAtMs = 0;
      known.agent = agent;
    }
    return replaced;
  }

  #forget({ agentId, connectionId }: AgentConnection): Registration | undefined {
    const connections = this.#here.get(agentId);
    const registration = connections?.get(connectionId);
    if (connections === undefined || registration === undefined) return undefined;
    registration.lapse.stop();
    connections.delete(connectionId);
    this.#count--;
    if (connections.size === 0) {
      this.#here.delete(agentId);
      this.#agentExpiresAtMs.delete(agentId);
    }
    return registration;
  }

  /** The pod has not said for long that it is still there; it may have said so to another node. */
  #lapsed(connection: AgentConnection): void {
    const registration = this.#forget(connection);
    if (registration === undefined) return;
    const { agent, written } = registration;
    void this.#background('Failed to unregister agent', async () => {
      const key = this.#keys.podsOfAgent(agent.agentId);
      const value = asBytes(await this.#redis.send(['HGET', key, String(agent.connectionId)]));
      if (value !== undefined && written !== undefined && value.equals(written)) await this.#remove([agent]);
    });
  }

  /** Writes a pod that Redis does not know from here, in place of what it replaces. */
  async #tellOfNew(agent: ConnectedAgent, replacedHere: readonly ConnectedAgent[]): Promise<void> {
    const { agentId, connectionId } = agent;
    for (const other of replacedHere) this.#noteGone(other);
    const older = [...replacedHere, ...(await this.#podsOf(agentId)).filter((other) => isReplacedBy(other, agent))];
    const registration = this.#here.get(agentId)?.get(connectionId);
    if (registration === undefined) return; // it has gone again
    await this.#write(
      [registration],
      older.flatMap((other) => this.#removal(other)),
    );
    for (const other of replacedHere) this.#gone.delete(nameOf(other));
  }

  #removal({ agentId, projectId, connectionId }: AgentConnection): Command[] {
    const field = String(connectionId);
    return [
      ['HDEL', this.#keys.podsOfAgent(agentId), field],
      ['HDEL', this.#keys.podsOfProject(projectId), field],
    ];
  }

  async #write(registrations: readonly Registration[], first: readonly Command[] = [], renewed = false): Promise<void> {
    for (let i = 0; i < registrations.length; i += AT_A_TIME) {
      await this.#writeBatch(registrations.slice(i, i + AT_A_TIME), i === 0 ? first : [], renewed);
    }
  }

  async #writeBatch(batch: readonly Registration[], first: readonly Command[], renewed: boolean): Promise<void> {
    const nowMs = this.#scope.clock.wallMs();
    const lifeMs = renewed ? this.#lifetime.renewedMs(this.#count) : this.#lifetime.firstMs;
    const expiresAt = Math.floor((nowMs + lifeMs) / 1000);
    const values = batch.map(({ agent }) => encodeExpiring(expiresAt, encodePod(agent)));
    const commands = batch.flatMap(({ agent }, i): Command[] => {
      const field = String(agent.connectionId);
      return [this.#keys.podsOfProject(agent.projectId), this.#keys.podsOfAgent(agent.agentId)].flatMap((key) => [
        ['HSET', key, field, values[i] as Buffer],
        ['PEXPIRE', key, String(lifeMs)],
      ]);
    });
    const agentIds = [...new Set(batch.map(({ agent }) => agent.agentId))];
    requireDone(await this.#redis.transaction([...first, ...commands, ...this.#agentsCommands(agentIds, nowMs)]));
    batch.forEach((registration, i) => {
      registration.expiresAtMs = nowMs + lifeMs;
      registration.written = values[i];
    });
    this.#noteAgents(agentIds, nowMs);
  }

  /** All agents share a hash, so that one command renews many. */
  #agentsCommands(agentIds: readonly bigint[], nowMs: number): Command[] {
    const { connectedAgents } = this.#keys;
    const value = encodeExpiring(Math.floor((nowMs + this.#lifetime.firstMs) / 1000));
    return [
      ['HSET', connectedAgents, ...agentIds.flatMap((id) => [String(id), value])],
      ['PEXPIRE', connectedAgents, String(this.#lifetime.firstMs)],
    ];
  }

  #noteAgents(agentIds: readonly bigint[], nowMs: number): void {
    for (const id of agentIds) {
      if (this.#here.has(id)) this.#agentExpiresAtMs.set(id, nowMs + this.#lifetime.firstMs);
    }
  }

  async #remove(pods: readonly ConnectedAgent[]): Promise<void> {
    for (const pod of pods) this.#noteGone(pod);
    if (!this.#redis.isUp) return; // they are removed when it is back
    for (const pod of pods) {
      requireDone(await this.#redis.transaction(this.#removal(pod)));
      this.#gone.delete(nameOf(pod));
    }
    for (const agentId of new Set(pods.map((pod) => pod.agentId))) {
      const times = pods.filter((pod) => pod.agentId === agentId).map((pod) => pod.connectedAtMs);
      await this.#noteAgentGone(agentId, Math.max(...times));
    }
  }

  /** An agent without any pod is no longer counted, but remembered. */
  async #noteAgentGone(agentId: bigint, lastSeenMs: number): Promise<void> {
    if (this.#here.has(agentId) || (await this.#podsOf(agentId)).length > 0) return;
    const { connectedAgents } = this.#keys;
    if ((await this.#redis.send(['HEXISTS', connectedAgents, String(agentId)])) !== 1) return;
    const nowSeconds = Math.floor(this.#scope.clock.wallMs() / 1000);
    await this.#redis.send(['HSET', connectedAgents, String(agentId), encodeGone(nowSeconds, lastSeenMs)]);
  }

  #noteGone(pod: ConnectedAgent): void {
    if (this.#gone.size >= MAX_GONE) this.#gone.delete(this.#gone.keys().next().value ?? '');
    this.#gone.set(nameOf(pod), pod);
  }

  async #pods(ids: readonly bigint[], keyOf: (id: bigint) => Buffer): Promise<ConnectedAgent[]> {
    const wanted = [...new Set(ids)];
    const pods: ConnectedAgent[] = [];
    for (let i = 0; i < wanted.length; i += AT_A_TIME) {
      const keys = wanted.slice(i, i + AT_A_TIME).map(keyOf);
      const found = await Promise.all(keys.map((key) => this.#podsIn(key)));
      for (const some of found) pods.push(...some);
    }
    return pods.map((pod) => this.#asKnownHere(pod));
  }

  /** What was heard here since it was written, if it was. */
  #asKnownHere(pod: ConnectedAgent): ConnectedAgent {
    const here = this.#here.get(pod.agentId)?.get(pod.connectionId)?.agent;
    return here !== undefined && here.projectId === pod.projectId && here.connectedAtMs > pod.connectedAtMs
      ? here
      : pod;
  }

  #podsOf(agentId: bigint): Promise<ConnectedAgent[]> {
    return this.#podsIn(this.#keys.podsOfAgent(agentId));
  }

  async #podsIn(key: Buffer): Promise<ConnectedAgent[]> {
    const found = await this.#scan(key);
    removeExpired(this.#redis, key, found);
    return found.live.flatMap(({ value }) => {
      const pod = decodePod(value);
      if (pod === undefined) this.#trouble.garbage('Redis proto.Unmarshal(ConnectedAgentInfo)', key);
      return pod ?? [];
    });
  }

  #scan(key: Buffer) {
    return scanHash(this.#redis, key, Math.floor(this.#scope.clock.wallMs() / 1000), this.#trouble);
  }

  /** For those who wait for it: not for long, and whether it was done or not. */
  #inTime(failure: string, f: () => Promise<void>): Promise<void> {
    return this.#patience.wait(this.#background(failure, f)).catch(() => {});
  }

  /** Does it, and tells the log if it fails. */
  async #background(failure: string, f: () => Promise<void>): Promise<void> {
    this.#running++;
    try {
      await f();
    } catch (error) {
      this.#trouble.failed(failure, error);
    } finally {
      if (--this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #lookAgain(): void {
    this.#scope.timeout(this.#lifetime.lookEveryMs, () => {
      if (this.#redis.isUp) void this.#background('Failed to refresh hash data in Redis', () => this.#renew());
      this.#lookAgain();
    });
  }

  async #renew(): Promise<void> {
    const nowMs = this.#scope.clock.wallMs();
    const soonMs = nowMs + this.#lifetime.marginMs;
    const due = this.#registrations().filter(({ expiresAtMs }) => expiresAtMs <= soonMs);
    await this.#write(due.filter(({ expiresAtMs }) => expiresAtMs === 0));
    const old = due.filter(({ expiresAtMs }) => expiresAtMs > 0);
    for (let i = 0; i < old.length; i += AT_A_TIME) await this.#renewBatch(old.slice(i, i + AT_A_TIME));
    await this.#renewAgents(soonMs);
  }

  /** A pod that is no longer in Redis has left through another node, or has started again and is connected there. */
  async #renewBatch(batch: readonly Registration[]): Promise<void> {
    const stillThere = await Promise.all(
      batch.map(({ agent: { agentId, connectionId } }) =>
        this.#redis.send(['HEXISTS', this.#keys.podsOfAgent(agentId), String(connectionId)]),
      ),
    );
    const [kept, removed]: [Registration[], Registration[]] = [[], []];
    for (const [i, registration] of batch.entries()) (stillThere[i] === 1 ? kept : removed).push(registration);
    for (const { agent } of removed) this.#forget(agent);
    await this.#write(kept, [], true);
  }

  async #renewAgents(soonMs: number): Promise<void> {
    const due = [...this.#agentExpiresAtMs].flatMap(([id, expiresAtMs]) => (expiresAtMs <= soonMs ? [id] : []));
    for (let i = 0; i < due.length; i += AT_A_TIME) {
      const batch = due.slice(i, i + AT_A_TIME);
      const nowMs = this.#scope.clock.wallMs();
      requireDone(await this.#redis.transaction(this.#agentsCommands(batch, nowMs)));
      this.#noteAgents(batch, nowMs);
    }
  }
}

/** Whether the other entry has to go: the pod has started again, or the agent's configuration has moved to another project. */
function isReplacedBy(other: ConnectedAgent, agent: ConnectedAgent): boolean {
  return other.projectId !== agent.projectId || (other.connectionId !== agent.connectionId && isSamePod(other, agent));
}

function nameOf({ agentId, projectId, connectionId }: AgentConnection): string {
  return `${agentId} ${projectId} ${connectionId}`;
}

/** Apart from when it said so. */
function saysTheSame(a: ConnectedAgent, b: ConnectedAgent): boolean {
  const anyTime = { connectedAtMs: 0 };
  return encodePod({ ...a, ...anyTime }).equals(encodePod({ ...b, ...anyTime }));
}

function asId(field: string): bigint | undefined {
  return /^\d{1,19}$/.test(field) ? BigInt(field) : undefined;
}

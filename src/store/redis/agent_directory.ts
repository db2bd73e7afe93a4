import { getOrPut } from '../../runtime/get_or_put.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { AgentConnection, AgentDirectory, ConnectedAgent } from '../agent_directory.ts';
import { removePod, writeAgents, writePod } from './agent_commands.ts';
import { BackgroundWork } from './background_work.ts';
import { encodePod } from './connected_agent.ts';
import type { RedisConnection } from './connection.ts';
import { decodeExpiring, encodeExpiring } from './expiring_value.ts';
import { removeExpired } from './hash_scan.ts';
import type { Keys } from './keys.ts';
import { decodeLastSeen, encodeGone } from './last_seen.ts';
import type { Lifetime } from './lifetime.ts';
import type { Patience } from './patience.ts';
import { PodReader } from './pod_reader.ts';
import { isReplacedBy, type Registration, Registrations } from './registrations.ts';
import { asBytes, type Command, requireDone } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** Pods in one transaction: short enough for Redis to do something else in between. */
const PODS_AT_A_TIME = 200;
/** Pods that Redis could not be told of when they left; what nobody renews expires by itself. */
const MAX_GONE = 10_000;

/** Connected agents: each pod is a field in the hash of its agent and in that of its project, each agent one in that of all. */
export class RedisAgentDirectory implements AgentDirectory {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #lifetime: Lifetime;
  readonly #scope: Scope;
  readonly #reader: PodReader;
  readonly #work: BackgroundWork;
  readonly #here: Registrations;
  /** When the fields of this node's agents in the hash of all expire. */
  readonly #agentExpiresAtMs = new Map<bigint, number>();
  /** Pods that have gone, and may still be in Redis. */
  readonly #gone = new Map<string, ConnectedAgent>();

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
    this.#reader = new PodReader({ ...deps, clock: deps.scope.clock });
    this.#work = new BackgroundWork(deps);
    this.#here = new Registrations(deps.scope, (connection) => this.#lapsed(connection));
    this.#lookAgain();
  }

  /** Resolves also when Redis is away: the pod is known here, and Redis is told when it is back. */
  async register(agent: ConnectedAgent, ttlMs: number): Promise<void> {
    const replaced = this.#here.add(agent, ttlMs);
    this.#gone.delete(nameOf(agent));
    // What it says is in Redis already: when it was last heard of is told with the next renewal.
    if ((this.#here.get(agent)?.expiresAtMs ?? 0) > 0) return;
    await this.#work.runFor('Failed to register agent', () => this.#tellOfNew(agent, replaced));
  }

  async unregister(connection: AgentConnection): Promise<void> {
    const known = this.#forget(connection)?.agent;
    const { agentId, projectId, connectionId } = connection;
    const { agentMeta, connectedAtMs = this.#scope.clock.wallMs() } = known ?? {};
    const pod = { agentId, projectId, connectionId, agentMeta, connectedAtMs };
    // Its configuration may have moved to another project since.
    const pods = known === undefined || known.projectId === pod.projectId ? [pod] : [pod, known];
    await this.#work.runFor('Failed to unregister agent', () => this.#remove(pods));
  }

  byAgentIds(agentIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    return this.#pods([...new Set(agentIds)].map((id) => this.#keys.podsOfAgent(id)));
  }

  byProjectIds(projectIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    return this.#pods([...new Set(projectIds)].map((id) => this.#keys.podsOfProject(id)));
  }

  async countByVersion(): Promise<ReadonlyMap<string, number>> {
    const { live } = await this.#reader.scan(this.#keys.connectedAgents);
    const pods = await this.byAgentIds(live.flatMap(({ field }) => asId(field.toString()) ?? []));
    const agents = new Map<string, Set<bigint>>();
    for (const { agentId, agentMeta } of pods) {
      getOrPut(agents, agentMeta?.version ?? '', () => new Set<bigint>()).add(agentId);
    }
    return new Map([...agents].map(([version, ofVersion]) => [version, ofVersion.size]));
  }

  async count(): Promise<number> {
    return (await this.#reader.scan(this.#keys.connectedAgents)).live.length;
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
    for (const registration of this.#here.all()) registration.expiresAtMs = 0;
    void this.#work.run('Failed to register agent', async () => {
      await this.#remove([...this.#gone.values()]);
      await this.#write(this.#here.all().filter(({ expiresAtMs }) => expiresAtMs === 0));
    });
  }

  /**
   * Removes fields that have expired from the hashes that this node keeps alive.
   * @param pause between two hashes; false: enough
   * @returns how many fields
   */
  async collectGarbage(pause: () => Promise<boolean>): Promise<number> {
    const keys = new Map<string, Buffer>();
    for (const { agent } of this.#here.all()) {
      for (const key of [this.#keys.podsOfAgent(agent.agentId), this.#keys.podsOfProject(agent.projectId)]) {
        keys.set(key.toString('latin1'), key);
      }
    }
    let removed = 0;
    for (const key of keys.values()) {
      const found = await this.#reader.scan(key);
      removeExpired(this.#redis, key, found);
      removed += found.expired.length;
      if (!(await pause())) break;
    }
    return removed;
  }

  /** Resolves when Redis has been told of everything, or cannot be. */
  idle(): Promise<void> {
    return this.#work.idle();
  }

  /** What this node has heard since it was written counts. */
  async #pods(keys: readonly Buffer[]): Promise<ConnectedAgent[]> {
    const pods = await this.#reader.podsIn(keys);
    return pods.map((pod) => {
      const here = this.#here.get(pod)?.agent;
      return here?.projectId === pod.projectId && here.connectedAtMs > pod.connectedAtMs ? here : pod;
    });
  }

  #forget(connection: AgentConnection): Registration | undefined {
    const registration = this.#here.remove(connection);
    if (!this.#here.has(connection.agentId)) this.#agentExpiresAtMs.delete(connection.agentId);
    return registration;
  }

  /** The pod has not said for long that it is still there; it may have said so to another node. */
  #lapsed(connection: AgentConnection): void {
    const registration = this.#forget(connection);
    if (registration === undefined) return;
    const { agent, written } = registration;
    void this.#work.run('Failed to unregister agent', async () => {
      const key = this.#keys.podsOfAgent(agent.agentId);
      const value = asBytes(await this.#redis.send(['HGET', key, String(agent.connectionId)]));
      if (value !== undefined && written !== undefined && value.toString('latin1') === written)
        await this.#remove([agent]);
    });
  }

  /** Writes a pod that Redis does not know from here, in place of what it replaces. */
  async #tellOfNew(agent: ConnectedAgent, replacedHere: readonly ConnectedAgent[]): Promise<void> {
    for (const other of replacedHere) this.#noteGone(other);
    const there = await this.#reader.podsIn([this.#keys.podsOfAgent(agent.agentId)]);
    const replaced = [...replacedHere, ...there.filter((other) => isReplacedBy(other, agent))];
    const registration = this.#here.get(agent);
    if (registration === undefined) return; // it has gone again
    const removals = replaced.flatMap((other) => removePod(this.#keys, other));
    await this.#writeBatch([registration], this.#lifetime.firstMs, removals);
    for (const other of replacedHere) this.#gone.delete(nameOf(other));
  }

  async #write(registrations: readonly Registration[], lifeMs = this.#lifetime.firstMs): Promise<void> {
    for (const batch of batches(registrations)) await this.#writeBatch(batch, lifeMs);
  }

  /** @param first what is done before it, and with it */
  async #writeBatch(batch: readonly Registration[], lifeMs: number, first: readonly Command[] = []): Promise<void> {
    const nowMs = this.#scope.clock.wallMs();
    const expiresAt = Math.floor((nowMs + lifeMs) / 1000);
    const written = batch.map((registration) => {
      const value = encodeExpiring(expiresAt, encodePod(registration.agent));
      return { registration, value, commands: writePod(this.#keys, registration.agent, value, lifeMs) };
    });
    const agentIds = [...new Set(batch.map(({ agent }) => agent.agentId))];
    const commands = [...first, ...written.flatMap((pod) => pod.commands)];
    await this.#writeWithAgents(agentIds, commands);
    for (const { registration, value } of written) {
      registration.expiresAtMs = nowMs + lifeMs;
      registration.written = value.toString('latin1');
    }
  }

  async #writeWithAgents(agentIds: readonly bigint[], first: readonly Command[] = []): Promise<void> {
    if (agentIds.length === 0) return;
    const lifeMs = this.#lifetime.firstMs;
    const expiresAtMs = this.#scope.clock.wallMs() + lifeMs;
    const ofAgents = writeAgents(this.#keys, agentIds, Math.floor(expiresAtMs / 1000), lifeMs);
    requireDone(await this.#redis.transaction([...first, ...ofAgents]));
    for (const id of agentIds) if (this.#here.has(id)) this.#agentExpiresAtMs.set(id, expiresAtMs);
  }

  async #remove(pods: readonly ConnectedAgent[]): Promise<void> {
    for (const pod of pods) this.#noteGone(pod);
    if (!this.#redis.isUp) return; // they are removed when it is back
    for (const pod of pods) {
      if (this.#here.get(pod)?.agent.projectId === pod.projectId) continue; // it has come back meanwhile
      requireDone(await this.#redis.transaction(removePod(this.#keys, pod)));
      this.#gone.delete(nameOf(pod));
    }
    for (const agentId of new Set(pods.map((pod) => pod.agentId))) {
      const times = pods.filter((pod) => pod.agentId === agentId).map((pod) => pod.connectedAtMs);
      await this.#noteAgentGone(agentId, Math.max(...times));
    }
  }

  /** An agent without any pod is no longer counted, but remembered. */
  async #noteAgentGone(agentId: bigint, lastSeenMs: number): Promise<void> {
    if (this.#here.has(agentId)) return;
    if ((await this.#reader.podsIn([this.#keys.podsOfAgent(agentId)])).length > 0) return;
    const { connectedAgents } = this.#keys;
    if ((await this.#redis.send(['HEXISTS', connectedAgents, String(agentId)])) !== 1) return;
    const nowSeconds = Math.floor(this.#scope.clock.wallMs() / 1000);
    await this.#redis.send(['HSET', connectedAgents, String(agentId), encodeGone(nowSeconds, lastSeenMs)]);
  }

  #noteGone(pod: ConnectedAgent): void {
    if (this.#gone.size >= MAX_GONE) this.#gone.delete(this.#gone.keys().next().value ?? '');
    this.#gone.set(nameOf(pod), pod);
  }

  #lookAgain(): void {
    this.#scope.timeout(this.#lifetime.lookEveryMs, () => {
      if (this.#redis.isUp) void this.#work.run('Failed to refresh hash data in Redis', () => this.#renew());
      this.#lookAgain();
    });
  }

  async #renew(): Promise<void> {
    const soonMs = this.#scope.clock.wallMs() + this.#lifetime.marginMs;
    const due = this.#here.all().filter(({ expiresAtMs }) => expiresAtMs <= soonMs);
    await this.#write(due.filter(({ expiresAtMs }) => expiresAtMs === 0));
    for (const batch of batches(due.filter(({ expiresAtMs }) => expiresAtMs > 0))) await this.#renewBatch(batch);
    const agentIds = [...this.#agentExpiresAtMs].flatMap(([id, expiresAtMs]) => (expiresAtMs <= soonMs ? [id] : []));
    for (const batch of batches(agentIds)) await this.#writeWithAgents(batch);
  }

  /** A pod that is no longer in Redis has left through another node, or has started again and is connected there. */
  async #renewBatch(batch: readonly Registration[]): Promise<void> {
    const stillThere = await Promise.all(
      batch.map(({ agent: { agentId, connectionId } }) =>
        this.#redis.send(['HEXISTS', this.#keys.podsOfAgent(agentId), String(connectionId)]),
      ),
    );
    // Shortly before its end, by whose clock ever, it may as well have expired.
    const expiresSoonMs = this.#scope.clock.wallMs() + this.#lifetime.marginMs / 2;
    const wasRemoved = (registration: Registration, i: number) =>
      stillThere[i] === 0 && registration.expiresAtMs > expiresSoonMs;
    for (const { agent } of batch.filter(wasRemoved)) this.#forget(agent);
    const kept = batch.filter((registration, i) => !wasRemoved(registration, i));
    await this.#write(kept, this.#lifetime.renewedMs(this.#here.size));
  }
}

function batches<T>(all: readonly T[]): T[][] {
  const count = Math.ceil(all.length / PODS_AT_A_TIME);
  return Array.from({ length: count }, (_, i) => all.slice(i * PODS_AT_A_TIME, (i + 1) * PODS_AT_A_TIME));
}

function nameOf({ agentId, projectId, connectionId }: AgentConnection): string {
  return `${agentId} ${projectId} ${connectionId}`;
}

/** Ids have 64 bits, with a sign. */
function asId(field: string): bigint | undefined {
  const id = /^\d{1,19}$/.test(field) ? BigInt(field) : -1n;
  return id >= 0n && id < 2n ** 63n ? id : undefined;
}

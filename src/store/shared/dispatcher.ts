import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { GitPushEventSchema } from '../../gen/gitlab/agent/event/event_pb.ts';
import type { Link } from '../../runtime/link.ts';
import type { AgentConnection } from '../agent_directory.ts';
import type { CachedError, LookupKinds, SharedAnswer } from '../error_cache.ts';
import type { Store } from '../store.ts';
import { fromWire, toWire, type WireAgent } from './wire.ts';

/** The parts that workers share by asking; tunnels and usage have ways of their own. */
export type AskedStore = Pick<Store, 'tokenLimiter' | 'errorCache' | 'agentDirectory' | 'eventBus'>;

/**
 * Lets the process at the other end of the link use this process's store, as `createStoreClient` does there.
 * @returns what ends the subscription to events, when the other end has gone
 */
export function serveStore(link: Link, store: AskedStore): () => void {
  const { tokenLimiter, errorCache, agentDirectory, eventBus } = store;
  link.on<[Buffer, number]>('store.tryTake', ([hash, limit]) => tokenLimiter.tryTake(hash, limit));

  link.on<[string, Buffer]>('store.getError', ([kind, hash]) => errorCache.get(kind, hash));
  link.on<[string, Buffer, CachedError, number]>('store.setError', ([kind, hash, error, ttlMs]) =>
    errorCache.set(kind, hash, error, ttlMs),
  );
  link.on<[LookupKinds, Buffer]>('store.look', ([kinds, hash]) => errorCache.look(kinds, hash));
  link.on<[LookupKinds, SharedAnswer[]]>('store.share', ([kinds, answers]) => errorCache.share(kinds, answers));

  const pods = async (found: ReturnType<typeof agentDirectory.byAgentIds>) => (await found).map(toWire);
  link.on<[WireAgent, number]>('store.register', ([agent, ttlMs]) => agentDirectory.register(fromWire(agent), ttlMs));
  link.on<[AgentConnection]>('store.unregister', ([connection]) => agentDirectory.unregister(connection));
  link.on<[bigint[]]>('store.byAgentIds', ([ids]) => pods(agentDirectory.byAgentIds(ids)));
  link.on<[bigint[]]>('store.byProjectIds', ([ids]) => pods(agentDirectory.byProjectIds(ids)));
  link.on('store.countByVersion', () => agentDirectory.countByVersion());
  link.on('store.count', () => agentDirectory.count());
  link.on<[bigint]>('store.lastSeenMs', ([agentId]) => agentDirectory.lastSeenMs(agentId));

  link.on<[Uint8Array]>('store.publish', ([bytes]) => eventBus.publish(fromBinary(GitPushEventSchema, bytes)));
  return eventBus.subscribe((event) => link.tell('store.event', toBinary(GitPushEventSchema, event)));
}

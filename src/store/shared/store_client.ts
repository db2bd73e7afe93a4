import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type GitPushEvent, GitPushEventSchema } from '../../gen/gitlab/agent/event/event_pb.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Link } from '../../runtime/link.ts';
import type { AgentConnection, AgentDirectory, ConnectedAgent } from '../agent_directory.ts';
import type { CachedError, ErrorCache, Known } from '../error_cache.ts';
import type { EventBus, Unsubscribe } from '../event_bus.ts';
import { MemoryEventBus } from '../memory/event_bus.ts';
import type { TokenLimiter } from '../token_limiter.ts';
import type { AskedStore } from './dispatcher.ts';
import { fromWire, toWire, type WireAgent } from './wire.ts';

/** The store of the process at the other end of the link, which answers with `serveStore`. */
export function createStoreClient(link: Link, log: Log): AskedStore {
  return {
    tokenLimiter: limiterOver(link),
    errorCache: errorsOver(link),
    agentDirectory: agentsOver(link),
    eventBus: new EventsOver(link, log),
  };
}

function limiterOver(link: Link): TokenLimiter {
  return { tryTake: (tokenHash, limit) => link.call('store.tryTake', tokenHash, limit) };
}

function errorsOver(link: Link): ErrorCache {
  return {
    get: (kind, hash) => link.call<CachedError | undefined>('store.getError', kind, hash),
    set: (kind, hash, error, ttlMs) => link.call('store.setError', kind, hash, error, ttlMs),
    look: (kinds, hash) => link.call<Known>('store.look', kinds, hash),
    share: (kinds, answers) => link.call('store.share', kinds, answers),
  };
}

function agentsOver(link: Link): AgentDirectory {
  const pods = async (name: string, ids: readonly bigint[]): Promise<ConnectedAgent[]> => {
    const found = await link.call<WireAgent[]>(name, ids);
    return found.map(fromWire);
  };
  return {
    register: (agent, ttlMs) => link.call('store.register', toWire(agent), ttlMs),
    unregister({ agentId, projectId, connectionId }: AgentConnection) {
      return link.call('store.unregister', { agentId, projectId, connectionId });
    },
    byAgentIds: (ids) => pods('store.byAgentIds', ids),
    byProjectIds: (ids) => pods('store.byProjectIds', ids),
    countByVersion: () => link.call('store.countByVersion'),
    count: () => link.call('store.count'),
    lastSeenMs: (agentId) => link.call('store.lastSeenMs', agentId),
  };
}

/** Events go to the other end and come back from it, those of this process too: so all processes hear them in one order. */
class EventsOver implements EventBus {
  readonly #link: Link;
  readonly #heard = new MemoryEventBus();

  constructor(link: Link, log: Log) {
    this.#link = link;
    link.on<[Uint8Array]>('store.event', ([bytes]) => {
      this.#heard.publish(fromBinary(GitPushEventSchema, bytes)).catch((error: unknown) => {
        log.error('Defect: a subscriber to events has failed', { error: errorText(error), hint: Hint.defect });
      });
    });
  }

  publish(event: GitPushEvent): Promise<void> {
    return this.#link.call('store.publish', toBinary(GitPushEventSchema, event));
  }

  subscribe(f: (event: GitPushEvent) => void): Unsubscribe {
    return this.#heard.subscribe(f);
  }
}

import type { GitPushEvent } from '../gen/gitlab/agent/event/event_pb.ts';

/** Tells all nodes what one of them has heard. Best effort: nothing is kept, and nobody hears what came before he subscribed. */
export interface EventBus {
  /** Hands the event to the subscribers of all nodes, this one included. Rejects if the store is in trouble. */
  publish(event: GitPushEvent): Promise<void>;
  /** Calls `f` for each event, in order; `f` must not block. */
  subscribe(f: (event: GitPushEvent) => void): Unsubscribe;
}

/** Idempotent; nothing is heard after it. */
export type Unsubscribe = () => void;

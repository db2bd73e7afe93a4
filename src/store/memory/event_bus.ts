import type { GitPushEvent } from '../../gen/gitlab/agent/event/event_pb.ts';
import type { EventBus, Unsubscribe } from '../event_bus.ts';

/** Events of a node that has no other to tell. */
export class MemoryEventBus implements EventBus {
  readonly #subscribers = new Set<{ readonly hear: (event: GitPushEvent) => void }>();

  publish(event: GitPushEvent): Promise<void> {
    const failures: unknown[] = [];
    for (const { hear } of [...this.#subscribers]) {
      try {
        hear(event);
      } catch (failure) {
        failures.push(failure);
      }
    }
    return failures.length === 0
      ? Promise.resolve()
      : Promise.reject(new AggregateError(failures, 'a subscriber has failed'));
  }

  subscribe(f: (event: GitPushEvent) => void): Unsubscribe {
    const subscriber = { hear: f };
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }
}

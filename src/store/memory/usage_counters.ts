import type { EventFields, UsageCounters, UsageEvents, UsageMetrics, UsageReports } from '../usage_counters.ts';

/** A GitLab that takes no reports must not fill the memory: a few megabytes in the worst case (docs/protocol/usage.md). */
export const MAX_IDS_PER_COUNTER = 20_000;
export const MAX_EVENTS_PER_NAME = 10_000;

/** What this process has counted and not reported. */
export class MemoryUsageCounters implements UsageCounters, UsageReports {
  readonly #counters = new Map<string, number>();
  readonly #ids = new Map<string, Set<bigint>>();
  readonly #events = new Map<string, EventList>();
  #dropped = 0;

  increment(counter: string): void {
    this.#count(counter, 1);
  }

  addUnique(counter: string, id: bigint): void {
    let ids = this.#ids.get(counter);
    if (ids === undefined) {
      ids = new Set();
      this.#ids.set(counter, ids);
    }
    if (ids.size < MAX_IDS_PER_COUNTER) ids.add(id);
    // The newest is left out here: the set is full either way, and its size is what GitLab makes of it.
    else if (!ids.has(id)) this.#dropped++;
  }

  addUserEvent(name: string, userId: bigint, projectId: bigint): void {
    if (this.#eventsOf(name).addOfUser(userId, projectId)) this.#dropped++;
  }

  addEvent(name: string, event: EventFields): void {
    if (this.#eventsOf(name).add(event)) this.#dropped++;
  }

  metrics(): UsageMetrics {
    const uniqueCounters = new Map<string, readonly bigint[]>();
    for (const [name, ids] of this.#ids) if (ids.size > 0) uniqueCounters.set(name, [...ids]);
    return { counters: new Map(this.#counters), uniqueCounters };
  }

  subtractMetrics(sent: UsageMetrics): void {
    for (const [name, count] of sent.counters) {
      const left = (this.#counters.get(name) ?? 0) - count;
      if (left > 0) this.#counters.set(name, left);
      else this.#counters.delete(name);
    }
    for (const [name, sentIds] of sent.uniqueCounters) {
      const ids = this.#ids.get(name);
      for (const id of sentIds) ids?.delete(id);
    }
  }

  events(limit: number): UsageEvents {
    const events = new Map<string, readonly EventFields[]>();
    let left = limit;
    for (const [name, list] of this.#events) {
      const oldest = list.oldest(left);
      if (oldest.length > 0) events.set(name, oldest);
      left -= oldest.length;
    }
    return events;
  }

  removeEvents(sent: UsageEvents): void {
    for (const [name, events] of sent) {
      const list = this.#events.get(name);
      for (const event of events) list?.remove(event);
    }
  }

  /** Adds what was counted elsewhere. */
  add({ counters, uniqueCounters }: UsageMetrics, events: UsageEvents, dropped: number): void {
    for (const [name, count] of counters) this.#count(name, count);
    for (const [name, ids] of uniqueCounters) for (const id of ids) this.addUnique(name, id);
    for (const [name, list] of events) {
      for (const event of list) {
        const user = userOf(event);
        if (user === undefined) this.addEvent(name, event);
        else this.addUserEvent(name, user.userId, user.projectId);
      }
    }
    this.#dropped += dropped;
  }

  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  #count(counter: string, more: number): void {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + more);
  }

  #eventsOf(name: string): EventList {
    let list = this.#events.get(name);
    if (list === undefined) {
      list = new EventList();
      this.#events.set(name, list);
    }
    return list;
  }
}

/** The events of one name. `add…` are true if the oldest had to go. */
class EventList {
  /** In the order of their coming. */
  readonly #events = new Set<EventFields>();
  /** Which users' events of which projects are in the list: asked for each proxied request, so no keys are built. */
  readonly #projects = new Map<bigint, Set<bigint>>();

  addOfUser(userId: bigint, projectId: bigint): boolean {
    let projects = this.#projects.get(userId);
    if (projects?.has(projectId)) return false;
    const isFull = this.add({ user_id: userId, project_id: projectId });
    projects = this.#projects.get(userId); // gone if the oldest was this user's only one
    if (projects === undefined) this.#projects.set(userId, new Set([projectId]));
    else projects.add(projectId);
    return isFull;
  }

  add(event: EventFields): boolean {
    const oldest = this.#events.size < MAX_EVENTS_PER_NAME ? undefined : this.#events.values().next().value;
    if (oldest !== undefined) this.remove(oldest);
    this.#events.add(event);
    return oldest !== undefined;
  }

  oldest(limit: number): EventFields[] {
    return this.#events.values().take(limit).toArray();
  }

  remove(event: EventFields): void {
    if (!this.#events.delete(event)) return;
    const user = userOf(event);
    if (user === undefined) return;
    const projects = this.#projects.get(user.userId);
    if (projects?.delete(user.projectId) && projects.size === 0) this.#projects.delete(user.userId);
  }
}

/** Whose event of which project it is; undefined for events of other kinds. */
function userOf(event: EventFields): { readonly userId: bigint; readonly projectId: bigint } | undefined {
  const { user_id: userId, project_id: projectId } = event;
  return typeof userId === 'bigint' && typeof projectId === 'bigint' ? { userId, projectId } : undefined;
}

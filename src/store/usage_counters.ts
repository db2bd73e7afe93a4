/** What an event says; ids are int64 and reach GitLab as JSON numbers. */
export interface EventFields {
  readonly [field: string]: string | bigint | EventFields;
}

/**
 * Where features count what is used, under the names that GitLab knows (docs/protocol/usage.md). Counting happens while
 * requests are served, so it answers at once and never fails; what was counted is sent by whoever holds the UsageReports.
 */
export interface UsageCounters {
  /** Adds one. */
  increment(counter: string): void;
  /** Counts an id; once, however often it comes until the report. */
  addUnique(counter: string, id: bigint): void;
  /** Tells once until the report that a user did something in a project. */
  addUserEvent(name: string, userId: bigint, projectId: bigint): void;
  /** Tells that something happened, however often it is the same. */
  addEvent(name: string, event: EventFields): void;
}

/** What was counted; nothing that is zero or empty. */
export interface UsageMetrics {
  readonly counters: ReadonlyMap<string, number>;
  readonly uniqueCounters: ReadonlyMap<string, readonly bigint[]>;
}

/** By name, oldest first; no name without events. */
export type UsageEvents = ReadonlyMap<string, readonly EventFields[]>;

/**
 * The other end of UsageCounters. What was read stays until it is subtracted, so nothing is lost when it cannot be sent;
 * what is counted in between survives the subtraction. Each node reports what it counted itself.
 */
export interface UsageReports {
  metrics(): UsageMetrics;
  /** Takes away what `metrics` returned. */
  subtractMetrics(sent: UsageMetrics): void;
  /** The oldest events of each name, at most `limit` in all. */
  events(limit: number): UsageEvents;
  /** Takes away what `events` returned. */
  removeEvents(sent: UsageEvents): void;
  /** How many ids and events the limits have cost since this was last asked. */
  takeDropped(): number;
}

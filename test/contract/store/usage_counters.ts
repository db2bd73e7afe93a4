import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageCounters, UsageReports } from '../../../src/store/usage_counters.ts';

export interface UsageLimits {
  readonly idsPerCounter: number;
  readonly eventsPerName: number;
}

/** What every implementation of UsageCounters and UsageReports must do. */
export function usageCountersContract(
  name: string,
  limits: UsageLimits,
  create: () => UsageCounters & UsageReports,
): void {
  test(`${name}: nothing counted, nothing to report`, () => {
    const usage = create();
    assert.deepEqual(usage.metrics(), { counters: new Map(), uniqueCounters: new Map() });
    assert.deepEqual(usage.events(10), new Map());
    assert.equal(usage.takeDropped(), 0);
  });

  test(`${name}: counters add up, ids count once`, () => {
    const usage = create();
    for (let i = 0; i < 3; i++) usage.increment('a');
    usage.increment('b');
    for (const id of [5n, 2n ** 62n, 5n, 2n ** 62n + 1n]) usage.addUnique('u', id);
    const metrics = usage.metrics();
    assert.deepEqual(
      metrics.counters,
      new Map([
        ['a', 3],
        ['b', 1],
      ]),
    );
    assert.deepEqual(metrics.uniqueCounters, new Map([['u', [5n, 2n ** 62n, 2n ** 62n + 1n]]]));
  });

  test(`${name}: a report that was not sent takes nothing away`, () => {
    const usage = create();
    usage.increment('a');
    usage.addUnique('u', 1n);
    usage.addEvent('e', { id: 1n });
    const first = [usage.metrics(), usage.events(10)];
    assert.deepEqual([usage.metrics(), usage.events(10)], first);
  });

  test(`${name}: what is counted while a report is sent survives its subtraction`, () => {
    const usage = create();
    usage.increment('a');
    usage.increment('gone');
    usage.addUnique('u', 1n);
    const sent = usage.metrics();
    usage.increment('a');
    usage.increment('a');
    usage.addUnique('u', 2n);
    usage.subtractMetrics(sent);
    assert.deepEqual(usage.metrics(), {
      counters: new Map([['a', 2]]),
      uniqueCounters: new Map([['u', [2n]]]),
    });
    usage.subtractMetrics(usage.metrics());
    assert.deepEqual(usage.metrics(), { counters: new Map(), uniqueCounters: new Map() });
    usage.addUnique('u', 1n);
    assert.deepEqual(usage.metrics().uniqueCounters, new Map([['u', [1n]]]), 'ids count again after a report');
  });

  test(`${name}: a user's event is told once a report for each project, other events each time`, () => {
    const usage = create();
    for (let i = 0; i < 2; i++) {
      usage.addUserEvent('users', 1n, 7n);
      usage.addUserEvent('users', 1n, 8n);
      usage.addUserEvent('users', 2n, 7n);
      usage.addUserEvent('others', 1n, 7n);
      usage.addEvent('agents', { version: 'v1', more: { method: 'helm' } });
    }
    const agent = { version: 'v1', more: { method: 'helm' } };
    const events = usage.events(10);
    assert.deepEqual(
      events,
      new Map<string, unknown>([
        ['users', [userEvent(1n, 7n), userEvent(1n, 8n), userEvent(2n, 7n)]],
        ['others', [userEvent(1n, 7n)]],
        ['agents', [agent, agent]],
      ]),
    );
    usage.removeEvents(events);
    assert.deepEqual(usage.events(10), new Map());
    usage.addUserEvent('users', 1n, 7n);
    assert.deepEqual(usage.events(10), new Map([['users', [userEvent(1n, 7n)]]]), 'told again after a report');
  });

  test(`${name}: events are reported oldest first, and those that came meanwhile stay`, () => {
    const usage = create();
    for (let id = 1n; id <= 4n; id++) usage.addEvent('e', { id });
    usage.addEvent('f', { id: 5n });
    const first = usage.events(2);
    assert.deepEqual(first, new Map([['e', [{ id: 1n }, { id: 2n }]]]));
    usage.addEvent('e', { id: 6n });
    usage.removeEvents(first);
    assert.deepEqual(
      usage.events(4),
      new Map([
        ['e', [{ id: 3n }, { id: 4n }, { id: 6n }]],
        ['f', [{ id: 5n }]],
      ]),
    );
  });

  test(`${name}: a full set takes no further ids, and says how many it has refused`, () => {
    const usage = create();
    const { idsPerCounter } = limits;
    for (let id = 0; id < idsPerCounter + 3; id++) usage.addUnique('u', BigInt(id));
    usage.addUnique('u', 0n); // one of those that are in it
    usage.addUnique('other', 1n);
    assert.equal(usage.metrics().uniqueCounters.get('u')?.length, idsPerCounter);
    assert.equal(usage.metrics().uniqueCounters.get('other')?.length, 1);
    assert.equal(usage.takeDropped(), 3);
    assert.equal(usage.takeDropped(), 0);
    usage.subtractMetrics(usage.metrics());
    usage.addUnique('u', 99n);
    assert.deepEqual(usage.metrics().uniqueCounters.get('u'), [99n]);
  });

  test(`${name}: a full list loses its oldest events, also while they are being sent`, () => {
    const usage = create();
    const { eventsPerName } = limits;
    for (let id = 0; id < eventsPerName; id++) usage.addEvent('e', { id: BigInt(id) });
    const sent = usage.events(2);
    usage.addEvent('e', { id: -1n });
    assert.equal(usage.takeDropped(), 1);
    usage.removeEvents(sent);
    const left = usage.events(2 * eventsPerName).get('e') ?? [];
    assert.equal(left.length, eventsPerName - 1);
    assert.deepEqual(left[0], { id: 2n });
    assert.deepEqual(left.at(-1), { id: -1n });
  });

  test(`${name}: a user whose event was dropped is told of again`, () => {
    const usage = create();
    const { eventsPerName } = limits;
    for (let user = 0; user <= eventsPerName; user++) usage.addUserEvent('e', BigInt(user), 7n);
    assert.equal(usage.takeDropped(), 1);
    usage.addUserEvent('e', 1n, 7n);
    assert.equal(usage.takeDropped(), 0, 'still there');
    usage.addUserEvent('e', 0n, 7n);
    assert.equal(usage.takeDropped(), 1);
    assert.deepEqual(usage.events(eventsPerName).get('e')?.at(-1), userEvent(0n, 7n));
  });
}

function userEvent(userId: bigint, projectId: bigint) {
  return { user_id: userId, project_id: projectId };
}

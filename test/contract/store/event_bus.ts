import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type GitPushEvent, GitPushEventSchema } from '../../../src/gen/gitlab/agent/event/event_pb.ts';
import type { EventBus } from '../../../src/store/event_bus.ts';

/** A bus, and what waits until all that was published has arrived. */
export interface EventBusUnderTest {
  readonly bus: EventBus;
  arrived(): Promise<void> | void;
}

/** What every EventBus must do. */
export function eventBusContract(name: string, setUp: () => Promise<EventBusUnderTest> | EventBusUnderTest): void {
  test(`${name}: all subscribers hear all events, in order`, async () => {
    const { bus, arrived } = await setUp();
    const [first, second]: bigint[][] = [[], []];
    bus.subscribe((event) => first?.push(idOf(event)));
    bus.subscribe((event) => second?.push(idOf(event)));
    await bus.publish(push(1n));
    await bus.publish(push(2n ** 62n));
    await arrived();
    assert.deepEqual(first, [1n, 2n ** 62n]);
    assert.deepEqual(second, first);
  });

  test(`${name}: who has unsubscribed hears nothing more, the others do`, async () => {
    const { bus, arrived } = await setUp();
    const heard: string[] = [];
    const listen = (who: string) => bus.subscribe((event) => heard.push(`${who} ${idOf(event)}`));
    const leave = listen('a');
    listen('b');
    await bus.publish(push(1n));
    await arrived();
    leave();
    leave();
    await bus.publish(push(2n));
    await arrived();
    assert.deepEqual(heard, ['a 1', 'b 1', 'b 2']);
  });

  test(`${name}: nobody hears what came before he subscribed`, async () => {
    const { bus, arrived } = await setUp();
    await bus.publish(push(1n));
    await arrived();
    const heard: GitPushEvent[] = [];
    bus.subscribe((event) => heard.push(event));
    await bus.publish(push(2n));
    await arrived();
    assert.deepEqual(heard, [push(2n)]);
  });

  test(`${name}: a subscriber that fails takes nothing from the others`, async () => {
    const { bus, arrived } = await setUp();
    const heard: bigint[] = [];
    bus.subscribe(() => {
      throw new Error('no');
    });
    bus.subscribe((event) => heard.push(idOf(event)));
    await bus.publish(push(1n)).catch(() => {});
    await arrived();
    assert.deepEqual(heard, [1n]);
  });
}

function push(id: bigint): GitPushEvent {
  return create(GitPushEventSchema, { project: { id, fullPath: 'group/project' } });
}

function idOf(event: GitPushEvent): bigint {
  return event.project?.id ?? 0n;
}

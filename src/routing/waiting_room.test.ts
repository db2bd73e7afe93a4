import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WaitingRoom } from './waiting_room.ts';

function setUp(perAgent: number, inAll: number) {
  const refused: string[] = [];
  const room = new WaitingRoom({
    perAgent,
    inAll,
    agentFull: () => refused.push('agent'),
    full: () => refused.push('all'),
  });
  return { room, refused };
}

test('an agent has so many places, another one has its own', () => {
  const { room, refused } = setUp(2, 10);
  assert.deepEqual([room.enter(1n), room.enter(1n), room.enter(1n), room.enter(2n)], [true, true, false, true]);
  assert.deepEqual(refused, ['agent']);
  assert.equal(room.waiting, 3);
});

test('who leaves makes room, whoever was refused had none', () => {
  const { room } = setUp(1, 10);
  assert.deepEqual([room.enter(1n), room.enter(1n)], [true, false]);
  room.leave(1n);
  assert.equal(room.waiting, 0);
  assert.deepEqual([room.enter(1n), room.enter(1n)], [true, false]);
});

test('all agents together have a limit too', () => {
  const { room, refused } = setUp(5, 3);
  for (const id of [1n, 2n, 3n]) assert.equal(room.enter(id), true);
  assert.equal(room.enter(4n), false);
  assert.deepEqual(refused, ['all']);
  room.leave(2n);
  assert.equal(room.enter(4n), true);
});

test('to leave without having entered changes nothing', () => {
  const { room } = setUp(5, 3);
  room.leave(1n);
  assert.equal(room.waiting, 0);
});

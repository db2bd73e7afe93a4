import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Automaton, END_OF_STREAM, START } from './automaton.ts';

const automaton = new Automaton({ [START]: [1], 1: [2, 3], 3: [END_OF_STREAM, 4] });

test('what may follow is not refused', () => {
  for (const [current, next] of [
    [START, 1],
    [1, 2],
    [1, 3],
    [3, END_OF_STREAM],
    [3, 4],
  ] as const) {
    assert.equal(automaton.refuse(current, next), undefined);
  }
});

test('what may not follow is refused in the words that peers know', () => {
  assert.equal(automaton.refuse(START, 2), 'transition from -2 to 2 is not allowed. Allowed: [1]');
  assert.equal(automaton.refuse(START, END_OF_STREAM), 'transition from -2 to -1 is not allowed. Allowed: [1]');
  assert.equal(automaton.refuse(1, 1), 'transition from 1 to 1 is not allowed. Allowed: [2 3]');
  assert.equal(automaton.refuse(3, 1), 'transition from 3 to 1 is not allowed. Allowed: [-1 4]');
  assert.equal(automaton.refuse(2, 1), 'transition from 2 to 1 is not allowed. Allowed: []');
});

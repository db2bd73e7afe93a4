import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../config/secret.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { systemRandom as random } from '../runtime/random.ts';
import { AnswerSeal } from './sealed_answer.ts';

const secret = new Secret(Buffer.alloc(32, 1));
const hash = Buffer.alloc(32, 7);
const answer = Buffer.from('gitaly-token');

test('what one node has sealed another one opens, for as long as it holds', () => {
  const clock = new FakeClock();
  const sealed = new AnswerSeal(secret, 'agent_info', { clock, random }).seal(hash, answer, 10_000);
  const other = new AnswerSeal(new Secret(Buffer.alloc(32, 1)), 'agent_info', { clock, random });
  clock.advance(4000);
  assert.deepEqual(other.open(hash, sealed), { answer, ttlMs: 6000 });
  clock.advance(6000);
  assert.equal(other.open(hash, sealed), undefined);
});

test('what is sealed cannot be read', () => {
  const sealed = new AnswerSeal(secret, 'agent_info', { clock: new FakeClock(), random }).seal(hash, answer, 10_000);
  assert.equal(sealed.includes(answer), false);
});

test('a seal of another secret, for another credential or another thing, and a broken one, open nothing', () => {
  const clock = new FakeClock();
  const seal = new AnswerSeal(secret, 'agent_info', { clock, random });
  const sealed = seal.seal(hash, answer, 10_000);
  assert.notEqual(seal.open(hash, sealed), undefined);
  assert.equal(
    new AnswerSeal(new Secret(Buffer.alloc(32, 2)), 'agent_info', { clock, random }).open(hash, sealed),
    undefined,
  );
  assert.equal(new AnswerSeal(secret, 'user_info', { clock, random }).open(hash, sealed), undefined);
  assert.equal(seal.open(Buffer.alloc(32, 8), sealed), undefined);
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(seal.open(hash, sealed.subarray(0, length)), undefined);
  }
  for (let i = 0; i < sealed.length; i++) {
    const broken = Buffer.from(sealed);
    broken.writeUInt8(broken.readUInt8(i) ^ 1, i);
    assert.equal(seal.open(hash, broken), undefined);
  }
});

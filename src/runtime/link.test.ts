import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkedPair } from '../../test/support/linked_pair.ts';
import { AppError } from './app_error.ts';
import { StatusCode } from './status_code.ts';

test('a call is answered with what the other end returns, of whatever type', async () => {
  const { here, there } = linkedPair();
  there.on<[bigint, Buffer]>('double', ([n, bytes]) => [n * 2n, Buffer.concat([bytes, bytes]), new Map([[1n, 'x']])]);
  assert.deepEqual(await here.call('double', 2n ** 62n, Buffer.from('ab')), [
    2n ** 63n,
    Buffer.from('abab'),
    new Map([[1n, 'x']]),
  ]);
});

test('both ends may call, and answers find their calls in whatever order they come', async () => {
  const { here, there } = linkedPair();
  const waiting: ((value: string) => void)[] = [];
  there.on('slow', () => new Promise((resolve) => waiting.push(resolve)));
  here.on<[string]>('back', ([word]) => `${word}!`);
  const [first, second] = [here.call('slow'), here.call('slow')];
  waiting[1]?.('second');
  waiting[0]?.('first');
  assert.deepEqual([await first, await second, await there.call('back', 'hey')], ['first', 'second', 'hey!']);
});

test('a refusal keeps its code and text, a defect is Internal', async () => {
  const { here, there } = linkedPair();
  there.on('refuse', () => {
    throw new AppError(StatusCode.FailedPrecondition, 'bind: address already in use');
  });
  there.on('fail', () => Promise.reject(new TypeError('x')));
  const codeOf = (error: unknown) => (error instanceof AppError ? [error.code, error.message] : error);
  assert.deepEqual(await here.call('refuse').catch(codeOf), [9, 'bind: address already in use']);
  assert.deepEqual(await here.call('fail').catch(codeOf), [13, 'x']);
  assert.deepEqual(await here.call('nothing').catch(codeOf), [12, 'nobody answers nothing']);
});

test('words arrive in order, with what came along', () => {
  const { here, there } = linkedPair();
  const heard: unknown[] = [];
  there.on<[number]>('word', ([n], handle) => heard.push([n, handle]));
  const socket = {};
  here.tell('word', 1);
  here.hand('word', socket, 2);
  here.tell('nobody listens');
  assert.deepEqual(heard, [
    [1, undefined],
    [2, socket],
  ]);
});

test('a broken link refuses the calls that wait and those that follow, and says nothing more', async () => {
  const { here, there } = linkedPair();
  const heard: unknown[] = [];
  there.on('word', () => heard.push('word'));
  there.on('never', () => new Promise(() => {}));
  const waiting = here.call('never');
  here.break('worker 1 has gone');
  await assert.rejects(waiting, { code: StatusCode.Unavailable, message: 'worker 1 has gone' });
  await assert.rejects(here.call('never'), { message: 'worker 1 has gone' });
  here.tell('word');
  assert.deepEqual(heard, []);
});

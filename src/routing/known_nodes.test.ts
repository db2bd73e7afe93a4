import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../test/support/recording_log.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { KnownNodes } from './known_nodes.ts';

const tick = () => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const directory = {
    reads: 0,
    answer: [] as readonly string[] | Error,
    nodesOf() {
      directory.reads++;
      const { answer } = directory;
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
  const nodes = new KnownNodes(directory, { scope: new Scope(clock), log });
  return {
    clock,
    lines,
    directory,
    nodes,
    /** Lets readings happen, one each 50 ms. */
    async pass(ms: number) {
      for (let at = 0; at < ms; at += 50) {
        await tick();
        clock.advance(50);
      }
      await tick();
    },
  };
}

test('the directory is read at once, and every 50 ms while somebody waits; however many do, once', async () => {
  const { nodes, directory, clock, pass } = setUp();
  const heard: string[] = [];
  const stops = ['a', 'b'].map((name) => nodes.poll(1n, (urls) => heard.push(`${name} ${urls}`)));
  await tick();
  assert.deepEqual(heard, ['a ', 'b ']);
  directory.answer = ['grpc://n1:1'];
  await pass(200);
  assert.equal(directory.reads, 5);
  assert.deepEqual(heard.slice(-2), ['a grpc://n1:1', 'b grpc://n1:1']);
  for (const stop of stops) stop();
  assert.equal(clock.pendingTimers, 1, 'only what forgets');
  await pass(1000);
  assert.equal(directory.reads, 5);
});

test('whoever waits for long asks less often', async () => {
  const { nodes, directory, pass } = setUp();
  nodes.poll(1n, () => {});
  await pass(2000);
  const before = directory.reads;
  await pass(10_000);
  assert.ok(directory.reads - before <= 41, `${directory.reads - before} readings in 10 s`);
});

test('what was found is remembered for five minutes, until the directory says otherwise', async () => {
  const { nodes, directory, clock, pass } = setUp();
  directory.answer = ['grpc://n1:1'];
  nodes.poll(1n, () => {})();
  await tick();
  assert.deepEqual(nodes.remembered(1n), ['grpc://n1:1']);
  clock.advance(299_000);
  assert.deepEqual(nodes.remembered(1n), ['grpc://n1:1']);
  clock.advance(1000);
  assert.deepEqual(nodes.remembered(1n), []);
  nodes.poll(1n, () => {});
  await tick();
  directory.answer = [];
  await pass(50);
  assert.deepEqual(nodes.remembered(1n), []);
});

test('a directory in trouble leaves what is known, and is told of once', async () => {
  const { nodes, directory, lines, pass } = setUp();
  directory.answer = ['grpc://n1:1'];
  nodes.poll(1n, () => {})();
  await tick();
  directory.answer = new Error('connection refused');
  const heard: unknown[] = [];
  nodes.poll(1n, (urls) => heard.push(urls));
  await pass(500);
  assert.deepEqual(heard, []);
  assert.deepEqual(nodes.remembered(1n), ['grpc://n1:1']);
  assert.deepEqual(
    lines.map(({ level, message }) => `${level} ${message}`),
    ['error KasUrlsByAgentId() failed'],
  );
});

test('calls that wait for moments, one after the other, do not each read the directory', async () => {
  const { nodes, directory, clock } = setUp();
  directory.answer = ['grpc://n1:1'];
  nodes.poll(1n, () => {})();
  await tick();
  for (let i = 0; i < 10; i++) {
    nodes.poll(1n, () => {})();
    clock.advance(4);
  }
  await tick();
  assert.equal(directory.reads, 1);
  clock.advance(50);
  nodes.poll(1n, () => {});
  await tick();
  assert.equal(directory.reads, 2);
});

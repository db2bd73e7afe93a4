// Agents that are nowhere, not yet or no longer, as several nodes see them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { freePort } from '../../support/endpoint.ts';
import { announceNode, startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';

const hello = { paths: { '/hello': (_: unknown, response: { end(text: string): void }) => response.end('hello\n') } };

test('an agent that comes to another node while a request waits gets it, whatever nodes are dead', {
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t);
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend: await startBackend(hello) });
  t.after(() => nodes.stop());
  await announceNode(redis, 2, 'grpc://127.0.0.1:1');
  const started = performance.now();
  const answer = nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' });
  await delay(1000);
  await nodes.connectAgent(2, 0);
  const { status, text } = await answer;
  assert.deepEqual([status, text], [200, 'hello\n']);
  assert.ok(performance.now() - started < 5000);
  const tries = nodes.servers[1]?.log.filter(
    ({ msg, kas_url }) => msg === 'Trying tunnel' && kas_url === 'grpc://127.0.0.1:1',
  );
  assert.ok((tries?.length ?? 0) >= 1);
  const down = nodes.servers[1]?.log.filter(({ msg }) => msg === 'Failed to dial kas') ?? [];
  assert.equal(down.length, 1, 'a dead node is told of once');
});

test('a request for an agent that comes to no node is answered after 20 s', {
  skip: noRedis,
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t);
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend: await startBackend(hello) });
  t.after(() => nodes.stop());
  const started = performance.now();
  const { status, text } = await nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' });
  const seconds = (performance.now() - started) / 1000;
  assert.equal(status, 502);
  assert.match(text, /Agent connection not found\. Is agent up to date and connected\?/);
  assert.ok(seconds > 19 && seconds < 25, `${seconds} s`);
  // Requests for an agent that is there do not notice a crowd that waits for one that is not.
  await nodes.connectAgent(1, 0);
  const crowd = Array.from({ length: 300 }, () => nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' }));
  await delay(500);
  const before = performance.now();
  const answers = await Promise.all(Array.from({ length: 20 }, () => nodes.ask(1, { path: '/hello' })));
  assert.ok(answers.every((answer) => answer.text === 'hello\n'));
  assert.ok(performance.now() - before < 5000);
  const statuses = new Set((await Promise.all(crowd)).map((answer) => answer.status));
  assert.ok(
    [...statuses].every((one) => one === 502 || one === 503),
    [...statuses].join(),
  );
});

test('who is found nowhere, though Redis says where he is: the log says what to look at', {
  skip: noRedis,
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t);
  const env = { OWN_PRIVATE_API_URL: 'grpc://kas.example:8155' };
  const nodes = await startNodes({ nodes: [{ env }, { env }], redis, backend: await startBackend(hello) });
  t.after(() => nodes.stop());
  // The same URL on two nodes: each takes the other for itself.
  await nodes.connectAgent(1, 0);
  // One that is dead.
  const dead = `grpc://127.0.0.1:${await freePort()}`;
  await announceNode(redis, 2, dead);
  const asked = ['pat:1:alice-pat', 'pat:2:alice-pat'].map((token) => nodes.ask(1, { path: '/hello', token }));
  for (const { status } of await Promise.all(asked)) assert.equal(status, 502);
  const hint = async (agent: number) => {
    const notFound = nodes.servers[1]?.waitForLog(
      `of agent ${agent}`,
      ({ msg, agent_id: id }) => msg === 'Agent connection not found' && id === agent,
    );
    return String((await notFound)?.hint);
  };
  assert.match(await hint(1), /own URL grpc:\/\/kas\.example:8155 and is not here: .* another node has the same URL/);
  assert.ok((await hint(2)).includes(`announced by ${dead}: earlier lines with this kas_url`));
  assert.ok(nodes.servers[1]?.log.some(({ msg, kas_url: url }) => msg === 'Failed to dial kas' && url === dead));
});

test('nodes with different private secrets say just that', { skip: noRedis, timeout: 30_000 }, async (t) => {
  const redis = await startRedis(t);
  const backend = await startBackend(hello);
  const nodes = await startNodes({
    nodes: [{ privateSecret: Buffer.alloc(32, 1) }, { privateSecret: Buffer.alloc(32, 2) }],
    redis,
    backend,
  });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  const lost = new AbortController();
  const asking = nodes.ask(1, { path: '/hello', signal: lost.signal }).catch(() => undefined);
  const [right, other] = nodes.servers;
  const line = await other?.waitForLog('secrets differ', ({ msg }) => /private API secrets or clocks differ/.test(msg));
  assert.match(String(line?.hint), /private_api\.listen\.authentication_secret_file/);
  await right?.waitForLog('secrets differ', ({ msg }) => msg === 'A node with another private API secret has called');
  lost.abort();
  await asking;
});

test('who has been away for longer than agents take to come back is not waited for, and when he was last seen is said', {
  skip: noRedis,
  timeout: 180_000,
}, async (t) => {
  const redis = await startRedis(t);
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend: await startBackend() });
  t.after(() => nodes.stop());
  const agent = await nodes.connectAgent(1, 0);
  // An agent that has not heard yet that it is registered does not say that it leaves.
  await eventually('its registration', () => agent.registrations > 0);
  const gone = Date.now();
  await agent.close({ unregister: true });
  // Nodes know who is away after a minute of their own life, and of an agent when it has been gone for as long.
  await delay(68_000);
  for (const node of [0, 1]) {
    let text = '';
    // Whoever asks too early waits for 20 s, and may ask again: a busy machine takes its time.
    await eventually(
      `an early answer of node ${node}`,
      async () => {
        const asked = performance.now();
        const answer = await nodes.ask(node, { path: '/hello' });
        assert.equal(answer.status, 502);
        text = answer.text;
        return performance.now() - asked < 2000;
      },
      45_000,
    );
    const [seen = ''] = /\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(text) ?? [];
    assert.ok(Math.abs(Date.parse(seen) - gone) < 10_000, text);
  }
});

// A node of GitLab's server of 2023 beside one of ours: it is played as it was recorded (test/vectors/kas-to-kas), and found where it
// writes that it has the agent (test/vectors/redis).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { ExpiringValueSchema } from '../../../src/gen/gitlab/agent/redistool/redistool_pb.ts';
import { messageType } from '../../integration/codec/message_types.ts';
import { compareMessage } from '../../integration/codec/recorded_form.ts';
import { startBackend } from '../../support/backend.ts';
import { freePort } from '../../support/endpoint.ts';
import { defaultTables } from '../../support/gitlab/tables.ts';
import { rawConnection } from '../../support/http1.ts';
import { root } from '../../support/launch.ts';
import { announceNode, type Nodes, startNodes, tunnelsKey } from '../../support/nodes.ts';
import { type PlayedCall, playNode } from '../../support/played_node.ts';
import { noRedis, startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually, within } from '../../support/wait.ts';

interface Recorded {
  readonly name: string;
  readonly request: string;
  /** What has been seen, or how long to wait; what the client then does. */
  readonly script?: readonly (readonly [trigger: string, action: string])[];
  readonly response: {
    readonly status_line?: string;
    readonly headers?: readonly (readonly [string, string])[];
    readonly framing?: string;
    readonly body?: string;
    readonly after_101?: string;
  };
  readonly private_api: readonly { readonly events: readonly RecordedEvent[] }[];
}

interface RecordedEvent {
  readonly from: 'client' | 'server';
  readonly headers?: readonly (readonly [string, string])[];
  readonly message?: { readonly hex: string; readonly type: string; readonly decoded: unknown };
  readonly trailers?: unknown;
  readonly end_stream?: boolean;
  readonly rst_stream?: number;
  readonly t_ms?: number;
}

const folder = join(root, 'test/vectors/kas-to-kas');
/** In which ours differs from any other server: what it is called. */
const IDENTITY = 'gitlab-kas/v0.0.0/00000000';
const OURS = /^gitlab-kas\/[^\s/]+\/[^\s/]+$/;

function read(name: string): Recorded {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8').replaceAll(IDENTITY, '<KAS>')) as Recorded;
}

/** All of them but those that are no conversation; the one that takes 20 s comes last. */
const names = readdirSync(folder)
  .map((file) => file.replace(/\.json$/, ''))
  .filter((name) => !['direct-calls', 'jwt'].includes(name))
  .sort((a, b) => Number(a === 'no-tunnel') - Number(b === 'no-tunnel'));

/** Plays the node's part, and compares what ours says with what another node of 2023 said. */
async function play(call: PlayedCall, events: readonly RecordedEvent[]): Promise<void> {
  let heard = 0;
  const started = performance.now();
  for (const { from, headers, message, trailers, end_stream: end, rst_stream: reset, t_ms: at = 0 } of events) {
    if (from === 'server') {
      await delay(Math.max(0, at - (performance.now() - started)));
      if (message !== undefined) call.saysBytes(Buffer.from(message.hex, 'hex'));
      else if (trailers !== undefined) call.ends();
      continue;
    }
    if (headers !== undefined) compareHeaders(call, new Map(headers));
    if (message !== undefined) {
      const index = heard++;
      const payload = await eventually(`message ${index}`, () => call.messages[index]);
      const schema = messageType(message.type);
      const wrong = compareMessage(
        message.type,
        message.decoded as never,
        reflect(schema, fromBinary(schema, payload)),
      );
      assert.deepEqual(wrong, [], payload.toString());
    }
    if (end === true) await eventually('the half-close', () => call.state.halfClosed);
    if (reset !== undefined) {
      await eventually('the reset', () => call.state.resetCode === reset, at + 5000);
      const after = performance.now() - started;
      assert.ok(after > at - 500, `it came after ${Math.round(after)} ms, not after ${at}`);
    }
  }
  assert.equal(call.messages.length, heard, 'nothing else was said');
}

/** Metadata that ours sends has the recorded values, apart from who we are and where. */
function compareHeaders({ headers }: PlayedCall, recorded: ReadonlyMap<string, string>): void {
  for (const name of [
    ':method',
    ':scheme',
    ':path',
    'content-type',
    'te',
    'grpc-accept-encoding',
    'kas-hop-routing-agent-id',
  ]) {
    assert.equal(headers[name], recorded.get(name), name);
  }
  assert.match(String(headers['user-agent']), OURS);
  const [, claims = ''] = String(headers.authorization)
    .replace(/^Bearer /, '')
    .split('.');
  const token = JSON.parse(Buffer.from(claims, 'base64url').toString());
  const { kas_to_kas: jwt } = JSON.parse(readFileSync(join(folder, 'jwt.json'), 'utf8'));
  assert.deepEqual(Object.keys(token), jwt.claims_order);
  const { iat } = token;
  assert.deepEqual(token, { ...jwt.claims, exp: iat + 5, nbf: iat - 5, iat });
  assert.ok(Math.abs(iat - Date.now() / 1000) < 30);
}

/** The recorded text, with whatever stands for a placeholder. */
function pattern(text: string): RegExp {
  return new RegExp(
    `^${text
      .split(/<[A-Z_]+>/)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.+')}$`,
    's',
  );
}

/** Asks as the recorded client did, and compares the answer. */
async function ask(nodes: Nodes, { request, script = [], response }: Recorded): Promise<void> {
  const client = await rawConnection(nodes.servers[0]?.endpoints.kubernetesApi ?? assert.fail());
  client.write(request);
  const { status_line: status, headers = [], body = '' } = response;
  let upgraded = '';
  if (status !== undefined) {
    const [line, ...lines] = (await client.readUntil('\r\n\r\n', 30_000)).trimEnd().split('\r\n');
    assert.equal(line, status);
    for (const [name, value] of headers) {
      if (name === 'Content-Length') continue; // of what a placeholder stands for
      assert.ok(
        lines.some((found) => pattern(`${name}: ${value}`).test(found)),
        `${name}: ${value}\n${lines.join('\n')}`,
      );
    }
  }
  for (const [trigger, action] of script) {
    const wait = /^after ([\d.]+) s$/.exec(trigger);
    if (wait !== null) await delay(1000 * Number(wait[1]));
    else upgraded += await client.readUntil(trigger);
    if (action === 'RST') client.reset();
    else if (action === 'CLOSE') client.close();
    else client.write(action);
  }
  if (response.after_101 !== undefined) assert.equal(upgraded, response.after_101);
  else if (response.framing === 'chunked') {
    const chunks = await client.readUntil('0\r\n\r\n');
    assert.equal(chunks.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '').trimEnd(), body.trimEnd());
  } else if (status !== undefined) assert.match(await client.readUntil(body.slice(-2)), pattern(body));
  client.close();
}

describe('a request that enters ours, for an agent of a node of 2023', { skip: noRedis, timeout: 120_000 }, () => {
  let nodes: Nodes;
  let redis: TestRedis;
  const ends: (() => unknown)[] = [];
  const calls: PlayedCall[] = [];

  before(async () => {
    redis = await startRedis({ after: (end: () => unknown) => void ends.push(end) } as never);
    const played = await playNode((call) => calls.push(call));
    ends.push(() => played.close());
    const tables = defaultTables();
    tables.jobs.set('job-x', { allowedAgents: [1, 3, 9], accessAs: { agent: {} } });
    const backend = await startBackend();
    nodes = await startNodes({ nodes: [{}], redis, backend, gitlab: { tables } });
    ends.push(() => nodes.stop());
    for (const agent of [1, 3, 9]) await announceNode(redis, agent, played.url);
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  for (const name of names) {
    test(name, { timeout: 40_000 }, async () => {
      const recorded = read(name);
      const events = recorded.private_api[0]?.events ?? assert.fail();
      if (name === 'no-tunnel-then-tunnel') await announceNode(redis, 9, `grpc://127.0.0.1:${await freePort()}`);
      const before = calls.length;
      const answered = ask(nodes, recorded);
      answered.catch(() => {});
      const call = await eventually('the call of the other node', () => calls[before]);
      await play(call, events);
      await within('the answer', 30_000, answered);
      assert.equal(calls.length, before + 1, 'one call');
    });
  }
});

/** What a recorded node says when it has a tunnel and its agent answers; piece by piece. */
const said = (read('get').private_api[0]?.events ?? [])
  .filter(({ from, message }) => from === 'server' && message !== undefined)
  .map(({ message }) => Buffer.from(message?.hex ?? '', 'hex'));
const [TUNNEL_READY = Buffer.of(), ...ANSWER] = said;
const NO_TUNNEL = Buffer.from('3200', 'hex');

/** Ours, and what stands in its Redis of agent 1 before anybody asks for it. */
async function oursBeside(
  t: TestContext,
  entries: (redis: TestRedis) => Promise<void>,
): Promise<Nodes & { readonly redis: TestRedis }> {
  const redis = await startRedis(t);
  const nodes = await startNodes({ nodes: [{}], redis, backend: await startBackend() });
  t.after(() => nodes.stop());
  await entries(redis);
  return { ...nodes, redis };
}

async function played(t: TestContext, onCall: (call: PlayedCall) => void) {
  const node = await playNode(onCall);
  t.after(() => node.close());
  return node;
}

function answer(call: PlayedCall): void {
  for (const payload of ANSWER) call.saysBytes(payload);
  call.ends();
}

/** Becomes ready at once, and answers when it is told to start. */
function ready(call: PlayedCall): void {
  call.saysBytes(TUNNEL_READY);
  call.stream.once('data', () => answer(call));
}

const asked = { path: '/api/v1/namespaces/default/configmaps/a' };
const body = '{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}';

describe('beside nodes of 2023', { skip: noRedis, timeout: 60_000 }, () => {
  test('entries that are over, broken, or of a kind that a newer server has left behind are not asked', async (t) => {
    const wrong = await played(t, (call) => call.refuses(14, 'asked'));
    const right = await played(t, ready);
    const other = (suffix: string) => `${wrong.url}/${suffix}`;
    const soon = Buffer.from(toBinary(ExpiringValueSchema, create(ExpiringValueSchema, { expiresAt: inMinutes(5) })));
    const past = Buffer.from(toBinary(ExpiringValueSchema, create(ExpiringValueSchema, { expiresAt: inMinutes(-5) })));
    const nodes = await oursBeside(t, async (redis) => {
      const key = tunnelsKey(1);
      await redis.ask('HSET', key, wrong.url, past, other('a'), Buffer.of(0xff, 0xff), other('b'), '', 'ab:cd', soon);
      // A field that is not known yet (15, of length 3) spoils nothing.
      await redis.ask('HSET', key, right.url, Buffer.concat([soon, Buffer.from('7a03010203', 'hex')]));
    });
    assert.equal((await nodes.ask(0, asked)).text, body);
    assert.equal(wrong.calls.length, 0);
    const fields = async () => ((await nodes.redis.ask('HKEYS', tunnelsKey(1))) as Buffer[]).map(String);
    await eventually('the expired one to be removed', async () => !(await fields()).includes(wrong.url));
    assert.ok((await fields()).includes(right.url));
  });

  test('two that have the agent: who has no tunnel is left for the other, and told', async (t) => {
    const [without, having] = [await played(t, (call) => call.saysBytes(NO_TUNNEL)), await played(t, ready)];
    const nodes = await oursBeside(t, async (redis) => {
      for (const { url } of [without, having]) await announceNode(redis, 1, url);
    });
    assert.equal((await nodes.ask(0, asked)).text, body);
    const [loser] = without.calls;
    // Who is asked first is Redis' choice.
    if (loser !== undefined) await eventually('the reset', () => loser.state.resetCode === 8);
    assert.deepEqual(loser?.messages ?? [], []);
  });

  test('both have a tunnel: one of them starts, the other hears CANCEL', async (t) => {
    const late = (call: PlayedCall) => {
      call.saysBytes(NO_TUNNEL);
      setTimeout(() => ready(call), 200);
    };
    const both = [await played(t, late), await played(t, late)];
    const nodes = await oursBeside(t, async (redis) => {
      for (const { url } of both) await announceNode(redis, 1, url);
    });
    assert.equal((await nodes.ask(0, asked)).text, body);
    const calls = both.flatMap((node) => node.calls);
    assert.equal(calls.length, 2);
    await eventually('the end of both', () => calls.every(({ stream }) => stream.closed));
    const started = calls.filter(({ messages }) => messages.length > 0);
    assert.equal(started.length, 1);
    assert.equal(calls.find((call) => call !== started[0])?.state.resetCode, 8);
  });

  test('one that is shutting down, or ends the call without a word, is asked again', async (t) => {
    let count = 0;
    const node = await played(t, (call) => {
      count++;
      if (count === 1) call.refuses(14, 'kas is shutting down');
      else if (count === 2) call.ends();
      else ready(call);
    });
    const nodes = await oursBeside(t, (redis) => announceNode(redis, 1, node.url));
    assert.equal((await nodes.ask(0, asked)).text, body);
    assert.equal(count, 3);
  });

  test('a status of the agent’s: directly after tunnel_ready, after the header, and in the middle of the body', async (t) => {
    const failure = { code: 14, message: 'gRPC -> HTTP: dial tcp: refused', details: [] };
    const says = (call: PlayedCall) => call.says({ case: 'error', value: { status: failure } }, { gzip: false });
    let part = 0;
    const node = await played(t, (call) => {
      call.saysBytes(TUNNEL_READY);
      call.stream.once('data', () => {
        for (const payload of ANSWER.slice(0, part)) call.saysBytes(payload);
        if (part > 0) call.saysBytes(Buffer.from('2200', 'hex'));
        says(call);
        call.ends();
      });
    });
    const nodes = await oursBeside(t, (redis) => announceNode(redis, 1, node.url));
    for (part of [0, 1]) {
      const { status, text } = await nodes.ask(0, asked);
      assert.equal(status, 502);
      assert.match(text, /code = Unavailable desc = gRPC -\\u003e HTTP: dial tcp: refused/);
    }
    // The head is out, and there is no other way to say that what follows is missing.
    part = 2;
    await assert.rejects(nodes.ask(0, asked), /aborted|ECONNRESET|hang up|terminated/);
  });
});

function inMinutes(minutes: number): bigint {
  return BigInt(Math.floor(Date.now() / 1000) + 60 * minutes);
}

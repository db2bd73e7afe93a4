// The test agent behaves like the recorded agentk: kas' half of each recorded tunnel is played to it, an API server answers
// what the recorded one answered, and what the agent sends to either must be what was recorded.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { createAgent } from '../../support/agent/agent.ts';
import { eventually } from '../../support/wait.ts';
import { messageType } from '../codec/message_types.ts';
import { compareMessage } from '../codec/recorded_form.ts';
import { PlayedKas, type PlayedStream } from './played_kas.ts';
import { startRecordedKube } from './recorded_kube.ts';
import { type RecordedEvent, type RecordedTunnel, readRecorded, vectorFolder } from './recorded_tunnel.ts';

const files = readdirSync(vectorFolder)
  .filter((file) => file.endsWith('.json'))
  .sort();

test('the vectors were read', () => assert.ok(files.length >= 22, `${files.length} files`));

for (const file of files) {
  test(`tunnel/${file}`, { timeout: 10_000 }, async (t) => {
    const recorded = readRecorded(file);
    const { events } = recorded.tunnel[0];
    const kas = await PlayedKas.start();
    t.after(() => kas.close());
    const kube = await startRecordedKube(recorded);
    t.after(() => kube.close());
    if (recorded.name === 'kube-apiserver-down') await kube.close();
    const sent = new Map(events[0]!.headers);
    const authority = decodeURIComponent(sent.get(':authority')!);
    const webSocket = authority.startsWith('ws:');
    const agent = createAgent({
      kasAddress: `${webSocket ? '' : 'grpc://'}${authority.replace(/<[A-Z_]+>/, webSocket ? kas.webSocket : kas.native)}`,
      token: sent.get('authorization')!.replace('Bearer ', ''),
      cluster: { server: kube.url },
    });
    t.after(() => agent.close());

    const call = await kas.call('ReverseTunnel/Connect');
    for (const [i, event] of events.entries()) {
      if (event.trailers !== undefined) {
        await eventually(
          'all requests to the cluster',
          () => kube.received.length === (recorded.kube_received ?? []).length,
        );
      }
      await play(event, call, `${file}, event ${i}`);
    }
    compareKube(recorded, kube.received, new URL(kube.url).host);
    const cancelled = events.some((event) => event.from === 'server' && event.rst_stream !== undefined);
    if (cancelled) await eventually('the request to the cluster to be given up', () => kube.open.size === 0);
  });
}

async function play(event: RecordedEvent, call: PlayedStream, where: string): Promise<void> {
  if (event.from === 'server') {
    if (event.headers !== undefined) call.respond();
    else if (event.message !== undefined) call.send(Buffer.from(event.message.hex, 'hex'));
    else if (event.trailers !== undefined) call.end(Object.fromEntries(event.trailers));
  } else if (event.headers !== undefined) compareHeaders(event.headers, call, where);
  else if (event.message !== undefined) {
    const received = await call.next();
    assert.ok(received !== 'end', `${where}: the agent half-closed instead`);
    assert.equal(received.compressed, event.message.compressed, where);
    const schema = messageType(event.message.type);
    const message = reflect(schema, fromBinary(schema, received.message));
    assert.deepEqual(
      compareMessage(event.message.type, event.message.decoded, message),
      [],
      `${where}: ${JSON.stringify(event.message.decoded)}`,
    );
  } else if (event.end_stream === true) assert.equal(await call.next(), 'end', where);
}

function compareHeaders(expected: [string, string][], call: PlayedStream, where: string): void {
  for (const [name, value] of expected) {
    const actual = String(call.headers[name]);
    if (value.includes('<')) assert.match(actual, new RegExp(`^${value.replace(/<[A-Z_]+>/g, '[\\d.:]+')}$`), where);
    else assert.equal(actual, value, `${where}: ${name}`);
  }
  assert.equal(Object.keys(call.headers).length, expected.length, where);
}

function compareKube(recorded: RecordedTunnel, received: readonly object[], host: string): void {
  const expected = (recorded.kube_received ?? []).map((request) => ({
    ...request,
    headers: request.headers.map(([name, value]) => [name, value.replace('<KUBE>', host)]),
  }));
  assert.deepEqual(received, expected);
}

// Connections of HTTP/2, from either side: whatever a peer sends, in whatever pieces, and whatever is done with its streams meanwhile.
import assert from 'node:assert/strict';
import { performServerHandshake } from 'node:http2';
import fc from 'fast-check';
import { CLIENT_PREFACE, Flag, FrameType } from '../../src/http2/frame.ts';
import { FrameReader } from '../../src/http2/frame_reader.ts';
import { encodeHeaders } from '../../src/http2/hpack/encoder.ts';
import {
  FramePeer,
  frame,
  HeardStream,
  headers,
  OPTIONS,
  REQUEST,
  settings,
  settingsAck,
  turn,
  Wire,
} from '../support/doubles/http2_peer.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, cut, cuts, damaged, damages } from './lib/inputs.ts';

type Role = 'server' | 'client';

// ---- conversations

interface Piece {
  readonly body: Buffer;
  readonly padding: number;
}

/** What is sent on a stream, in its order. */
interface Message {
  readonly fields: Record<string, string>;
  readonly pieces: readonly Piece[];
  readonly trailers: Record<string, string> | undefined;
  /** Where its header blocks are cut. */
  readonly cut: number;
}

const fields = fc.dictionary(fc.stringMatching(/^x-[a-z]{1,3}$/), fc.stringMatching(/^([!-~][ -~]{0,20}[!-~])?$/), {
  maxKeys: 4,
});
const message: fc.Arbitrary<Message> = fc.record({
  fields,
  pieces: fc.array(fc.record({ body: bytes(2000), padding: fc.constantFrom(0, 0, 0, 1, 5, 200) }), { maxLength: 5 }),
  trailers: fc.option(fields, { nil: undefined }),
  cut: fc.nat({ max: 100 }),
});

/** Frames of one message; those of a header block stay together. */
function framesOf(streamId: number, { fields, pieces, trailers, cut }: Message, role: Role): Buffer[] {
  const head = role === 'server' ? REQUEST : { ':status': 200 };
  const dataFrames = pieces.map(({ body, padding }, i) => {
    const end = i === pieces.length - 1 && trailers === undefined ? Flag.EndStream : 0;
    if (padding === 0) return frame(FrameType.Data, end, streamId, body);
    const payload = Buffer.concat([Buffer.of(padding), body, Buffer.alloc(padding)]);
    return frame(FrameType.Data, end | Flag.Padded, streamId, payload);
  });
  const ends = dataFrames.length === 0 && trailers === undefined;
  const list = [block(streamId, { ...head, ...fields }, cut, ends), ...dataFrames];
  if (trailers !== undefined) list.push(block(streamId, trailers, cut, true));
  return list;
}

function block(streamId: number, list: Record<string, string | number | unknown>, cut: number, end: boolean): Buffer {
  const whole = encodeHeaders(list as Record<string, string>);
  const endStream = end ? Flag.EndStream : 0;
  if (cut >= whole.length) return frame(FrameType.Headers, Flag.EndHeaders | endStream, streamId, whole);
  return Buffer.concat([
    frame(FrameType.Headers, endStream, streamId, whole.subarray(0, cut)),
    frame(FrameType.Continuation, Flag.EndHeaders, streamId, whole.subarray(cut)),
  ]);
}

interface Conversation {
  readonly messages: readonly Message[];
  /** Whose frame is next, again and again. */
  readonly turns: readonly number[];
}

const conversation: fc.Arbitrary<Conversation> = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 5 }),
  turns: fc.array(fc.nat({ max: 4 }), { maxLength: 30 }),
});

/** The frames of all messages: each stream's in their order, and streams begin in theirs. */
function interleaved({ messages, turns }: Conversation, role: Role): Buffer[] {
  const queues = messages.map((each, i) => framesOf(2 * i + 1, each, role));
  const all: Buffer[] = [];
  let begun = 0;
  for (const whose of [...turns, ...queues.flatMap((queue, i) => queue.map(() => i))]) {
    const at = Math.min(whose % queues.length, begun);
    const next = queues[at]!.shift();
    if (next === undefined) continue;
    if (at === begun) begun++;
    all.push(next);
  }
  return [...all, ...queues.flat()];
}

/** Frames that are lost, come twice or elsewhere, or mean something else. */
const mistakes = fc.array(
  fc.record({
    at: fc.nat({ max: 40 }),
    how: fc.constantFrom('lose', 'repeat', 'move', 'flag', 'stream'),
    to: fc.nat({ max: 40 }),
  }),
  { maxLength: 4 },
);
/** Not that of priorities: what is left of a block may be anything then, and nghttp2 is particular about its fields. */
const FLAGS = [Flag.EndStream, Flag.EndHeaders, Flag.Padded, 2];
type Mistake = { readonly at: number; readonly how: string; readonly to: number };

function mistaken(frames: readonly Buffer[], list: readonly Mistake[]): Buffer[] {
  const result = frames.map((each) => Buffer.from(each));
  for (const { at, how, to } of list) {
    const i = at % (result.length || 1);
    const each = result[i];
    if (each === undefined) continue;
    if (how === 'lose') result.splice(i, 1);
    else if (how === 'repeat') result.splice(to % result.length, 0, each);
    else if (how === 'move') result.splice(to % result.length, 0, ...result.splice(i, 1));
    else if (how === 'flag') each[4] = each[4]! ^ FLAGS[to % FLAGS.length]!;
    else each[8] = to % 12;
  }
  return result;
}

const start = (role: Role) =>
  Buffer.concat([role === 'server' ? CLIENT_PREFACE : Buffer.alloc(0), settings(), settingsAck()]);

// ---- what is done with the streams meanwhile

const deed = fc.constantFrom(
  'resume',
  'resume',
  'pause',
  'head',
  'write',
  'write much',
  'end',
  'end with trailers',
  'reset',
  'ping',
  'window',
  'trust',
  'block',
  'unblock',
  'close',
  'destroy',
);
const deeds = fc.array(fc.record({ deed, whose: fc.nat({ max: 5 }) }), { maxLength: 25 });
type Deed = { readonly deed: string; readonly whose: number };

function act(peer: FramePeer, streams: readonly HeardStream[], { deed, whose }: Deed): void {
  const { connection, wire } = peer;
  if (deed === 'ping') connection.ping();
  else if (deed === 'window') connection.setStreamWindow(whose * 30_000 + 1, () => {});
  else if (deed === 'trust') connection.trust();
  else if (deed === 'block') wire.block();
  else if (deed === 'unblock') wire.unblock();
  else if (deed === 'close') connection.close();
  else if (deed === 'destroy') connection.destroy();
  const stream = streams[whose % (streams.length || 1)]?.stream;
  if (stream === undefined) return;
  if (deed === 'resume') stream.resume();
  else if (deed === 'pause') stream.pause();
  else if (deed === 'head') stream.sendHeaders({ ':status': 200 });
  else if (deed === 'write') stream.write(Buffer.from('written'));
  else if (deed === 'write much') stream.write(Buffer.alloc(100_000));
  else if (deed === 'end') stream.end();
  else if (deed === 'end with trailers') stream.end({ t: 'x' });
  else if (deed === 'reset') stream.reset(8);
}

/** All that holds whatever has happened: each stream is closed once, last, and the connection as well. */
async function endsWell(peer: FramePeer, streams: readonly HeardStream[]): Promise<void> {
  assert.ok(peer.wire.writableLength < 3 << 20, `${peer.wire.writableLength} bytes wait`);
  peer.wire.unblock();
  peer.wire.push(null);
  await turn();
  await turn();
  peer.connection.destroy();
  await turn();
  peer.clock.advance(30_000);
  await turn();
  assert.ok(peer.connection.destroyed);
  assert.ok(peer.wire.destroyed);
  assert.equal(peer.connection.openStreams, 0);
  assert.equal(peer.clock.pendingTimers, 0);
  assert.equal(peer.heard.filter((word) => word.startsWith('closed')).length, 1);
  for (const { heard } of streams) {
    const ends = heard.filter((word) => word.startsWith('closed'));
    assert.equal(ends.length, 1, heard.join(', '));
    assert.ok(heard.at(-1)?.startsWith('closed'), heard.join(', '));
    assert.ok(heard.filter((word) => word === 'ended').length <= 1);
  }
}

/** A connection that knows nothing of the others, served at once. */
async function anotherWorks(): Promise<void> {
  const peer = new FramePeer('server');
  await peer.greet();
  await peer.send(headers(1, REQUEST, true));
  peer.streams[0]?.stream.sendHeaders({ ':status': 200 }, true);
  assert.deepEqual(await peer.sent(), ['Headers 1 end :status 200']);
  peer.connection.destroy();
}

/** Plays it all: a piece arrives, something is done, and so on. */
async function play(role: Role, pieces: readonly Buffer[], list: readonly Deed[], requests: number): Promise<void> {
  const peer = new FramePeer(role, { streamWindowBytes: 20_000, connectionWindowBytes: 70_000 });
  let begun = 0;
  const open = (heard: HeardStream) => {
    heard.stream.open(heard);
    if (begun++ % 3 > 0) heard.stream.resume();
  };
  peer.onRequest = open;
  const asked = Array.from({ length: role === 'client' ? requests : 0 }, () => {
    const heard = new HeardStream(peer.connection.request(REQUEST));
    open(heard);
    return heard;
  });
  const streams = () => (role === 'server' ? peer.streams : asked);
  for (let i = 0; i < Math.max(pieces.length, list.length); i++) {
    const piece = pieces[i];
    if (piece !== undefined) await peer.send(piece);
    const each = list[i];
    if (each !== undefined) act(peer, streams(), each);
  }
  await turn();
  await endsWell(peer, streams());
  await anotherWorks();
}

const role = fc.constantFrom<Role>('server', 'client');

fuzz(
  'a conversation is heard as it was meant wherever it is cut and whenever its readers rest',
  fc.record({ role, conversation, cuts, rests: fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }) }),
  async ({ role, conversation, cuts, rests }) => {
    const { messages } = conversation;
    const peer = new FramePeer(role, { streamWindowBytes: 1 << 20 });
    const listen = (heard: HeardStream) => {
      let words = 0;
      heard.on = () => {
        if (rests[words++ % rests.length] === true) heard.stream.pause();
      };
      heard.listen();
    };
    peer.onRequest = listen;
    const asked = role === 'client' ? messages.map(() => new HeardStream(peer.connection.request(REQUEST))) : [];
    for (const heard of asked) listen(heard);
    const whole = Buffer.concat([start(role), ...interleaved(conversation, role)]);
    const streams = () => (role === 'server' ? peer.streams : asked);
    for (const piece of cut(whole, cuts)) {
      await peer.send(piece);
      for (const { stream } of streams()) stream.resume();
    }
    for (let i = 0; i < 20; i++) for (const { stream } of streams()) stream.resume();
    assert.equal(streams().length, messages.length);
    for (const [i, { fields, pieces, trailers }] of messages.entries()) {
      const heard = streams()[i]!;
      if (role === 'server') assert.deepEqual({ ...heard.request }, { ...REQUEST, ...fields });
      assert.deepEqual(Buffer.concat(heard.bytes), Buffer.concat(pieces.map(({ body }) => body)));
      const words = heard.heard.filter((word) => !word.startsWith('data'));
      const told = trailers === undefined ? [] : [`trailers ${Object.entries(trailers).flat().join(' ')}`];
      assert.deepEqual(words, [...(role === 'client' ? ['headers 200'] : []), ...told, 'ended']);
    }
    await endsWell(peer, streams());
  },
);

fuzz(
  'a damaged conversation ends each stream once',
  fc.record({ role, conversation, mistakes, cuts, damages: damages(1), deeds }),
  async ({ role, conversation, mistakes, cuts, damages, deeds }) => {
    const whole = damaged(Buffer.concat(mistaken(interleaved(conversation, role), mistakes)), damages);
    await play(role, [start(role), ...cut(whole, [...cuts, 0.1, 0.3, 0.6])], deeds, conversation.messages.length);
  },
);

const anyFrame = fc
  .record({
    type: fc.oneof(fc.nat({ max: 10 }), fc.nat({ max: 255 })),
    flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 9, 13, 32, 37, 45), fc.nat({ max: 255 })),
    streamId: fc.oneof(fc.nat({ max: 9 }), fc.constantFrom(0, 1, 3, 0x7fff_ffff, 0xffff_ffff)),
    payload: fc.oneof(
      bytes(40),
      fc.constantFrom(
        Buffer.alloc(0),
        Buffer.alloc(4),
        Buffer.alloc(8),
        Buffer.alloc(16_384),
        Buffer.from([0, 0, 0, 1]),
      ),
      fc.constantFrom(encodeHeaders(REQUEST), encodeHeaders({ ':status': 200 }), encodeHeaders({ t: 'x' })),
    ),
  })
  .map(({ type, flags, streamId, payload }) => frame(type, flags, streamId, payload));

fuzz(
  'frames of all kinds end each stream once, whatever is done with them',
  fc.record({ role, frames: fc.array(anyFrame, { maxLength: 40 }), cuts, deeds, greeted: fc.boolean() }),
  async ({ role, frames, cuts, deeds, greeted }) => {
    const whole = Buffer.concat([greeted ? start(role) : Buffer.alloc(0), ...frames]);
    await play(role, cut(whole, cuts), deeds, OPTIONS.maxStreams);
  },
);

/** What came whole, stream by stream, and whether any mistake was noticed: by RST_STREAM or by the connection's end. */
interface Outcome {
  readonly whole: Map<number, { body: string; trailers: string }>;
  readonly noticed: boolean;
}

const textOf = (list: object) => JSON.stringify(Object.entries(list).sort());

/** What node:http2, which is nghttp2, makes of it. */
async function nodes(pieces: readonly Buffer[]): Promise<Outcome> {
  const wire = new Wire();
  const whole: Outcome['whole'] = new Map();
  let noticed = false;
  const reader = new FrameReader({
    begun(type) {
      if (type === FrameType.RstStream || type === FrameType.GoAway) noticed = true;
      return false;
    },
    data() {},
    frame() {},
    frameTooLong() {},
  });
  wire.onWrite = (chunk) => reader.push(chunk);
  const session = performServerHandshake(wire, { streamResetBurst: 1e6, settings: { initialWindowSize: 1 << 20 } });
  session.on('error', () => {});
  session.on('stream', (stream) => {
    const chunks: Buffer[] = [];
    let trailers = '[]';
    stream.on('error', () => {});
    stream.on('trailers', (list) => {
      trailers = textOf(list);
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => whole.set(stream.id ?? 0, { body: Buffer.concat(chunks).toString('hex'), trailers }));
  });
  for (const piece of pieces) {
    wire.arrive(piece);
    await turn();
  }
  for (let i = 0; i < 20; i++) await turn();
  const outcome = { whole: new Map(whole), noticed: noticed || session.destroyed }; // destroyed streams end as well
  session.destroy();
  wire.destroy();
  return outcome;
}

async function ours(pieces: readonly Buffer[]): Promise<Outcome> {
  const peer = new FramePeer('server', { streamWindowBytes: 1 << 20, maxStreams: 100 });
  const whole: Outcome['whole'] = new Map();
  peer.onRequest = (heard) => {
    let trailers = '[]';
    heard.trailers = (list) => {
      trailers = textOf(list);
    };
    heard.on = (word) => {
      if (word !== 'ended') return;
      whole.set(heard.stream.id, { body: Buffer.concat(heard.bytes).toString('hex'), trailers });
    };
    heard.listen();
  };
  for (const piece of pieces) await peer.send(piece);
  const noticed = peer.connection.destroyed || peer.frames.some(({ type }) => type === FrameType.RstStream);
  peer.connection.destroy();
  return { whole, noticed };
}

fuzz(
  'the mistakes that node notices in a conversation we notice as well, and what has none is the same to us',
  fc.record({ conversation, mistakes, cuts }),
  async ({ conversation, mistakes, cuts }) => {
    const all = Buffer.concat(mistaken(interleaved(conversation, 'server'), mistakes));
    // We look at a header block when it is complete; a PING may not come before.
    const pieces = [start('server'), ...cut(all, cuts), frame(FrameType.Ping, 0, 0, Buffer.alloc(8))];
    const [theirs, mine] = [await nodes(pieces), await ours(pieces)];
    if (theirs.noticed) assert.ok(mine.noticed);
    else if (!mine.noticed) assert.deepEqual(mine.whole, theirs.whole);
  },
);

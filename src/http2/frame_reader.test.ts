import assert from 'node:assert/strict';
import { test } from 'node:test';
import { data, frame } from '../../test/support/doubles/http2_peer.ts';
import { Flag, FrameType, MAX_FRAME_BYTES } from './frame.ts';
import { FrameReader, type FrameSink } from './frame_reader.ts';

class Heard implements FrameSink {
  readonly words: string[] = [];
  readonly payloads: Buffer[] = [];
  refused: (type: number) => boolean = () => false;
  onWord: (word: string) => void = () => {};
  #data: Buffer[] = [];
  #left = 0;

  begun(type: number, flags: number, streamId: number, length: number): boolean {
    this.#left = length;
    this.#say(`begun ${type} ${flags} ${streamId} ${length}`);
    return !this.refused(type);
  }

  data(streamId: number, chunk: Buffer, end: boolean): void {
    this.#data.push(chunk);
    this.payloads.push(chunk);
    this.#left -= chunk.length;
    if (this.#left > 0) {
      assert.equal(end, false, 'the end before the last byte');
      return;
    }
    this.#say(`data ${streamId} ${Buffer.concat(this.#data.splice(0)).toString('latin1')}${end ? ' end' : ''}`);
  }

  frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    this.payloads.push(payload);
    this.#say(`frame ${type} ${flags} ${streamId} ${payload.toString('latin1')}`);
  }

  frameTooLong(): void {
    this.#say('too long');
  }

  #say(word: string): void {
    this.words.push(word);
    this.onWord(word);
  }
}

const FRAMES = Buffer.concat([
  frame(FrameType.Settings, 0, 0),
  frame(FrameType.Headers, Flag.EndHeaders, 1, Buffer.from('a block')),
  data(1, 'some bytes'),
  data(1),
  data(1, 'the last', true),
  data(3, '', true),
  frame(FrameType.Data, Flag.Padded | Flag.EndStream, 0x7fff_ffff, Buffer.from('\x02padded..')),
  frame(77, 255, 0x8000_0005, Buffer.from('unknown')),
  frame(FrameType.Ping, 0, 0, Buffer.from('12345678')),
]);
const WORDS = [
  'begun 4 0 0 0',
  'frame 4 0 0 ',
  'begun 1 4 1 7',
  'frame 1 4 1 a block',
  'begun 0 0 1 10',
  'data 1 some bytes',
  'begun 0 0 1 0',
  'data 1 ',
  'begun 0 1 1 8',
  'data 1 the last end',
  'begun 0 1 3 0',
  'data 3  end',
  'begun 0 9 2147483647 9',
  'frame 0 9 2147483647 \x02padded..',
  'begun 77 255 5 7', // the reserved bit of a stream's id means nothing
  'frame 77 255 5 unknown',
  'begun 6 0 0 8',
  'frame 6 0 0 12345678',
];

test('frames are the same wherever their bytes are cut', () => {
  for (let size = 1; size <= FRAMES.length; size++) {
    const heard = new Heard();
    const reader = new FrameReader(heard);
    for (let at = 0; at < FRAMES.length; at += size) reader.push(Buffer.from(FRAMES.subarray(at, at + size)));
    assert.deepEqual(heard.words, WORDS, `pieces of ${size} bytes`);
  }
});

test('payloads in one piece are views of what was read', () => {
  const heard = new Heard();
  new FrameReader(heard).push(FRAMES);
  for (const payload of heard.payloads) if (payload.length > 0) assert.equal(payload.buffer, FRAMES.buffer);
});

test('DATA goes on as it comes', () => {
  const heard = new Heard();
  const reader = new FrameReader(heard);
  const whole = data(1, 'abcdef', true);
  reader.push(whole.subarray(0, 12));
  assert.deepEqual(heard.payloads.map(String), ['abc']);
  reader.push(whole.subarray(12));
  assert.deepEqual(heard.payloads.map(String), ['abc', 'def']);
  assert.equal(heard.words.at(-1), 'data 1 abcdef end');
});

test('the payload of a frame that is of no interest is skipped, in whatever pieces', () => {
  for (const size of [1, 2, 5, 100]) {
    const heard = new Heard();
    heard.refused = (type) => type === FrameType.Data || type === FrameType.Headers;
    const reader = new FrameReader(heard);
    for (let at = 0; at < FRAMES.length; at += size) reader.push(Buffer.from(FRAMES.subarray(at, at + size)));
    assert.deepEqual(
      heard.words,
      WORDS.filter((word) => !/^(data|frame [01]) /.test(word)),
    );
  }
});

test('the longest frame, and one that is longer', () => {
  const heard = new Heard();
  const reader = new FrameReader(heard);
  reader.push(frame(FrameType.Headers, 0, 1, Buffer.alloc(MAX_FRAME_BYTES)));
  assert.equal(heard.payloads[0]?.length, MAX_FRAME_BYTES);
  reader.push(frame(FrameType.Headers, 0, 1, Buffer.alloc(MAX_FRAME_BYTES + 1)).subarray(0, 9));
  assert.deepEqual(heard.words.slice(2), ['too long']);
});

test('nothing is heard after `stop`, which may come from within', () => {
  for (let stopAt = 0; stopAt < WORDS.length; stopAt++) {
    const heard = new Heard();
    const reader = new FrameReader(heard);
    heard.onWord = () => {
      if (heard.words.length === stopAt + 1) reader.stop();
    };
    reader.push(FRAMES);
    reader.push(FRAMES);
    assert.deepEqual(heard.words, WORDS.slice(0, stopAt + 1));
  }
});

import fc from 'fast-check';

/** Bytes of any kind. */
export const bytes = (maxLength = 300): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

/** Where to cut bytes into pieces, as parts of their length. */
export const cuts: fc.Arbitrary<number[]> = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

/** The bytes in pieces, each a copy of its own. */
export function cut(whole: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((part) => Math.round(part * whole.length)), whole.length].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => Buffer.from(whole.subarray(places[i], end)));
}

/** What damages bytes. */
export interface Damage {
  readonly at: number;
  readonly how: 'set' | 'flip' | 'remove' | 'insert' | 'repeat' | 'end';
  readonly value: number;
}

export const damages = (maxLength = 4): fc.Arbitrary<Damage[]> =>
  fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      how: fc.constantFrom('set', 'flip', 'remove', 'insert', 'repeat', 'end'),
      value: fc.integer({ min: 0, max: 255 }),
    }),
    { maxLength },
  );

/** A damaged copy. */
export function damaged(whole: Uint8Array, list: readonly Damage[]): Buffer {
  let result = Buffer.from(whole);
  for (const { at, how, value } of list) {
    const place = Math.min(Math.floor(at * result.length), Math.max(0, result.length - 1));
    const [before, after] = [result.subarray(0, place), result.subarray(place)];
    const middle = result.subarray(place, place + 1 + (value & 15));
    if (how === 'set' && result.length > 0) result[place] = value;
    else if (how === 'flip' && result.length > 0) result[place] = result[place]! ^ (1 << (value & 7));
    else if (how === 'remove') result = Buffer.concat([before, after.subarray(1 + (value & 15))]);
    else if (how === 'insert') result = Buffer.concat([before, Buffer.of(value), after]);
    else if (how === 'repeat') result = Buffer.concat([before, middle, after]);
    else if (how === 'end') result = Buffer.from(before);
  }
  return result;
}

/** Text as headers, cookies and tokens have it, one character a byte, with a liking for what parsers look for. */
export const latin1 = (maxLength = 60): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...' \t"%+,-./0129:;=?@AZ[\\]^_az{}~\0\r\n\x7f\x80\xff') },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) },
      ),
      { maxLength },
    )
    .map((characters) => characters.join(''));

// Every gRPC message that was recorded from real peers decodes with our protos into what was recorded, and encodes into
// the same bytes.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { equals, fromBinary, toBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { messageType } from './message_types.ts';
import { compareMessage, hasUnorderedMap } from './recorded_form.ts';

const vectors = join(import.meta.dirname, '..', '..', 'vectors');

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

interface Recorded {
  readonly where: string;
  readonly type: string;
  readonly hex: string;
  readonly decoded: Json;
}

/** All messages below a value of a vector file. Those without a type are deliberate garbage. */
function recordedIn(value: Json, where: string): Recorded[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('hex' in value && 'decoded' in value && typeof value.hex === 'string' && typeof value.type === 'string') {
    return [{ where, type: value.type, hex: value.hex, decoded: value.decoded ?? null }];
  }
  return Object.entries(value).flatMap(([key, item]) => recordedIn(item, `${where}/${key}`));
}

const files = globSync('**/*.json', { cwd: vectors }).sort();
const byFile = new Map(
  files.map((file) => [file, recordedIn(JSON.parse(readFileSync(join(vectors, file), 'utf8')), '')]),
);

/** Recorded bytes that are right but not the only right ones. */
const otherBytes: ReadonlySet<string> = new Set([
  // Go writes the field of a oneof (here: prune) after all others, not in the order of numbers.
  'modules/config.json/cases/2/events/3/message',
  // Default values written out.
  'modules/gitlab-access.json/cases/4/events/1/message',
  'modules/config.json/cases/7/gitaly/1/events/3/message',
]);

for (const [file, messages] of byFile) {
  if (messages.length === 0) continue;
  test(`${file}: ${messages.length} messages`, () => {
    for (const { where, type, hex, decoded } of messages) {
      const schema = messageType(type);
      const message = fromBinary(schema, Buffer.from(hex, 'hex'));
      assert.deepEqual(compareMessage(type, decoded, reflect(schema, message)), [], `${file}${where}`);
      const again = toBinary(schema, message);
      assert.ok(equals(schema, message, fromBinary(schema, again)), `${file}${where}`);
      if (hasUnorderedMap(reflect(schema, message)) || otherBytes.has(file + where)) continue;
      assert.equal(Buffer.from(again).toString('hex'), hex, `${file}${where}`);
    }
  });
}

test('the vectors were read', () => {
  const messages = [...byFile.values()].flat();
  assert.equal(messages.length, 640);
  const roundTrips = messages.filter(({ type, hex }) => {
    const schema = messageType(type);
    return !hasUnorderedMap(reflect(schema, fromBinary(schema, Buffer.from(hex, 'hex'))));
  });
  assert.ok(roundTrips.length > 400, `${roundTrips.length} messages without a map of several entries`);
});

// Compares a decoded message with the form in which test/vectors/README.md shows messages.
import { type DescField, fromBinary, type Message, ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { messageType, messageTypeOfUrl } from './message_types.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

interface JsonObject {
  readonly [key: string]: Json;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Recorded texts have placeholders such as <JWT> where runs differ, and lack the name of the recorder's own client. */
function sameText(expected: string, actual: string): boolean {
  const parts = expected.split(/<[A-Z_]+>/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.+')}$`, 's').test(actual.replace(/^grpc-python\/\S+ /, ''));
}

function compareBytes(where: string, expected: Json | undefined, actual: Uint8Array): string[] {
  const bytes = Buffer.from(actual);
  if (typeof expected === 'string') return sameText(expected, bytes.toString()) ? [] : [where];
  if (!isObject(expected)) return [where];
  if (typeof expected.as === 'string') {
    const schema = messageType(expected.as);
    return compareMessage(`${where}(${expected.as})`, expected.decoded, reflect(schema, fromBinary(schema, bytes)));
  }
  if (typeof expected.hex === 'string') return expected.hex === bytes.toString('hex') ? [] : [where];
  const starts =
    typeof expected.starts === 'string' ? Buffer.from(expected.starts) : Buffer.from(`${expected.starts_hex}`, 'hex');
  return expected.bytes === bytes.length && bytes.subarray(0, starts.length).equals(starts) ? [] : [where];
}

function compareAny(where: string, expected: Json | undefined, any: Any): string[] {
  if (!isObject(expected) || expected.type_url !== any.typeUrl) return [`${where}.type_url`];
  const schema = messageTypeOfUrl(any.typeUrl);
  if (!schema) return compareBytes(`${where}.value`, expected.value, any.value);
  return compareMessage(`${where}.value`, expected.value, reflect(schema, fromBinary(schema, any.value)));
}

function compareScalar(where: string, expected: Json | undefined, actual: unknown, scalar: ScalarType): string[] {
  if (scalar === ScalarType.BYTES) return compareBytes(where, expected, actual as Uint8Array);
  if (typeof actual === 'bigint') return `${expected}` === `${actual}` ? [] : [where];
  if (typeof actual === 'string') return typeof expected === 'string' && sameText(expected, actual) ? [] : [where];
  return expected === actual ? [] : [where];
}

/** One value: a field's own, a list's item or a map's value. */
function compareValue(where: string, field: DescField, expected: Json | undefined, actual: unknown): string[] {
  if (field.message) return compareMessage(where, expected, actual as ReflectMessage);
  if (field.scalar !== undefined) return compareScalar(where, expected, actual, field.scalar);
  return expected === actual ? [] : [where];
}

function compareField(where: string, field: DescField, expected: Json | undefined, message: ReflectMessage): string[] {
  if (field.fieldKind === 'list') {
    const actual = [...message.get(field)];
    if (!Array.isArray(expected) || expected.length !== actual.length) return [where];
    return actual.flatMap((item, index) => compareValue(`${where}[${index}]`, field, expected[index], item));
  }
  if (field.fieldKind === 'map') {
    const actual = [...message.get(field)];
    if (!isObject(expected) || Object.keys(expected).length !== actual.length) return [where];
    return actual.flatMap(([key, item]) => {
      // Values of one key are shown as the bare list.
      const shown = expected[`${key}`];
      return compareValue(`${where}.${key}`, field, Array.isArray(shown) ? { value: shown } : shown, item);
    });
  }
  return compareValue(where, field, expected, message.get(field));
}

/** The places where a message is not what was recorded. */
export function compareMessage(where: string, expected: Json | undefined, message: ReflectMessage): string[] {
  if (message.desc.typeName === AnySchema.typeName)
    return compareAny(where, expected, message.message as Message as Any);
  if (!isObject(expected)) return [where];
  const present = message.fields.filter((field) => message.isSet(field));
  const unknown = (message.message.$unknown ?? []).map(({ no }) => `UNKNOWN_${no}`);
  const names = new Set([...present.map((field) => field.name), ...unknown]);
  // Some peers write default values out.
  const missing = Object.keys(expected).filter(
    (name) => !names.has(name) && expected[name] !== 0 && expected[name] !== '',
  );
  return [
    ...unknown.filter((name) => !(name in expected)).map((name) => `${where}.${name}`),
    ...missing.map((name) => `${where}.${name}`),
    ...present.flatMap((field) => compareField(`${where}.${field.name}`, field, expected[field.name], message)),
  ];
}

/** Whether the message has a map of several entries, whose order on the wire is anybody's choice. */
export function hasUnorderedMap(message: ReflectMessage): boolean {
  return message.fields.some((field) => {
    if (field.fieldKind === 'map') return message.get(field).size > 1;
    if (field.fieldKind === 'message') return message.isSet(field) && hasUnorderedMap(message.get(field));
    return field.fieldKind === 'list' && field.message
      ? [...message.get(field)].some((item) => hasUnorderedMap(item as ReflectMessage))
      : false;
  });
}

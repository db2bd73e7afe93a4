import type { ScalarTree } from '../yaml/tree.ts';
import { type Field, type Rule, shown } from './field.ts';
import { scalar } from './scalar.ts';
import { didYouMean } from './suggest.ts';

/** Protobuf's JSON takes numbers in quotes too, and whole numbers written as `1.0` or `1e3`. */
function parseInteger({ value }: ScalarTree): bigint | undefined {
  if (typeof value === 'bigint') return value;
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? BigInt(value) : value;
  if (typeof number === 'bigint') return number;
  return typeof number === 'number' && Number.isSafeInteger(number) ? BigInt(number) : undefined;
}

/** A whole number between `least` and `most`; 0 means the default. */
function integer(type: string, least: bigint, most: bigint, options: { doc: string; default: number }): Field<number> {
  return scalar({
    type,
    doc: options.doc,
    shownDefault: String(options.default),
    fallback: options.default,
    parse(tree) {
      const value = parseInteger(tree);
      if (value === undefined) return { wrong: 'is not a whole number' };
      if (value < least || value > most) return { wrong: `is out of range, ${least} to ${most}` };
      return { value: value === 0n ? options.default : Number(value) };
    },
  });
}

export function uint32(options: { doc: string; default: number }): Field<number> {
  return integer('uint32', 0n, 2n ** 32n - 1n, options);
}

/** An int32 that is not negative. */
export function naturalInt32(options: { doc: string; default: number }): Field<number> {
  return integer('int32', 0n, 2n ** 31n - 1n, options);
}

/** A whole number between `least` and `most`, or `auto`; 0 means the default. */
export function autoOr(options: { doc: string; least: number; most: number; default: number }): Field<number | 'auto'> {
  const { least, most } = options;
  return scalar<number | 'auto'>({
    type: 'uint32 or `auto`',
    doc: options.doc,
    shownDefault: String(options.default),
    fallback: options.default,
    parse(tree) {
      if (tree.value === 'auto') return { value: 'auto' };
      const value = parseInteger(tree);
      if (value === undefined) return { wrong: 'is neither a whole number nor auto' };
      if (value === 0n) return { value: options.default };
      return value < least || value > most
        ? { wrong: `is out of range, ${least} to ${most}` }
        : { value: Number(value) };
    },
  });
}

/** An int64 greater than 0, as GitLab numbers things. It must be there. */
export function requiredId(options: { doc: string }): Field<bigint> {
  return scalar({
    ...options,
    type: 'int64',
    fallback: 0n,
    required: true,
    parse(tree) {
      const value = parseInteger(tree);
      if (value === undefined) return { wrong: 'is not a whole number' };
      return value > 0n && value < 2n ** 63n ? { value } : { wrong: 'is out of range, 1 to 9223372036854775807' };
    },
  });
}

/** A number that is not negative; 0 means the default. */
export function rate(options: { doc: string; default: number }): Field<number> {
  return scalar({
    type: 'double',
    doc: options.doc,
    shownDefault: String(options.default),
    fallback: options.default,
    parse({ value }) {
      const number = typeof value === 'bigint' || isNumeral(value) ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isFinite(number)) return { wrong: 'is not a number' };
      return number < 0 ? { wrong: 'must not be negative' } : { value: number === 0 ? options.default : number };
    },
  });
}

function isNumeral(value: unknown): boolean {
  return typeof value === 'string' && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(value);
}

const binaryUnits = new Map([
  ['', 1],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
]);

/** A number of bytes: `65536`, `64KiB`, `16 MiB`; 0 means the default. */
export function size(options: { doc: string; default: string; rule?: Rule<number> }): Field<number> {
  return scalar({
    type: 'size',
    doc: options.doc,
    shownDefault: options.default,
    fallback: parseSize(options.default) ?? 0,
    parse(tree) {
      const { value } = tree;
      const bytes = typeof value === 'string' ? parseSize(value) : Number(parseInteger(tree) ?? Number.NaN);
      if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) {
        return { wrong: 'is not a size: a whole number of bytes, or one with KiB, MiB or GiB' };
      }
      return { value: bytes === 0 ? (parseSize(options.default) ?? 0) : bytes };
    },
    rule: options.rule,
  });
}

function parseSize(written: string): number | undefined {
  const match = /^(\d+) ?(KiB|MiB|GiB|)$/.exec(written);
  return match === null ? undefined : Number(match[1]) * (binaryUnits.get(match[2] ?? '') ?? 1);
}

/** Longer than protobuf's Duration can be (10,000 years). */
const tooManySeconds = 315_576_000_000;

/**
 * Protobuf's JSON form of a duration, `"300s"` with up to nine decimals, in milliseconds. Absent means the default; 0 does not.
 * @param options.least what the key says about 0: `positive` refuses it, `natural` takes it
 */
export function duration(options: { doc: string; default: string; least?: 'positive' | 'natural' }): Field<number> {
  return scalar({
    type: 'duration',
    doc: options.doc,
    shownDefault: options.default,
    fallback: parseDuration(options.default) ?? 0,
    parse({ value }) {
      const ms = typeof value === 'string' ? parseDuration(value) : undefined;
      if (ms === undefined) return { wrong: `is not a duration (${durationHint(value)})` };
      if (options.least === 'natural' ? ms < 0 : ms <= 0) {
        return { wrong: options.least === 'natural' ? 'must not be negative' : 'must be greater than 0s' };
      }
      return { value: ms };
    },
    encode: (ms) => `${Number((ms / 1000).toFixed(9))}s`,
  });
}

function parseDuration(written: string): number | undefined {
  const match = /^-?\d+(?:\.\d{1,9})?s$/.test(written) ? Number(written.slice(0, -1)) : Number.NaN;
  // Rounded, because 0.29 * 1000 is 290.00000000000006 or so; to the nanosecond, because that is what can be written.
  return Math.abs(match) <= tooManySeconds ? Math.round(match * 1e9) / 1e6 : undefined;
}

const secondsIn = new Map([
  ['ms', 0.001],
  ['m', 60],
  ['h', 3600],
  ['d', 86400],
]);

/** People write `5m`, as everywhere else in the world of Go, or a bare number. */
function durationHint(value: ScalarTree['value']): string {
  const match = /^(\d+)(ms|m|h|d|)$/.exec(String(value));
  if (match === null) return 'seconds with an s, such as "300s" or "0.5s"';
  return `write "${Number(match[1]) * (secondsIn.get(match[2] ?? '') ?? 1)}s"`;
}

/** One of a few names, or its number where upstream numbers them. */
export function oneOf<const N extends string>(options: {
  doc: string;
  names: readonly N[];
  default: N;
  /** The names in the order of their numbers in upstream's enum. */
  numbered?: readonly N[];
  /** The empty string means the default. */
  emptyIsDefault?: boolean;
}): Field<N> {
  const listed = options.names.join(', ');
  return scalar<N>({
    type: `one of ${options.names.map((name) => `\`${name}\``).join(', ')}`,
    doc: options.doc,
    shownDefault: options.default,
    fallback: options.default,
    parse(tree) {
      const { value } = tree;
      if (value === '' && options.emptyIsDefault) return { value: options.default };
      const name =
        typeof value === 'bigint'
          ? options.numbered?.[Number(value)]
          : options.names.find((candidate) => candidate === value);
      if (name !== undefined) return { value: name };
      const written = typeof value === 'string' ? value : shown(tree);
      return { wrong: `is not one of ${listed}${didYouMean(written, options.names)}` };
    },
  });
}

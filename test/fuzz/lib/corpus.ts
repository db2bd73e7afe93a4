/** Inputs as JSON that people can read and change: bytes as `{ "hex": "…" }`, big integers as `{ "int": "…" }`. */
export function toCorpus(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString('hex') };
  if (typeof value === 'bigint') return { int: String(value) };
  if (value === undefined) return { undefined: true };
  if (Array.isArray(value)) return value.map(toCorpus);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toCorpus(member)]));
}

/** The way back. */
export function fromCorpus(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromCorpus);
  if (typeof value !== 'object' || value === null) return value;
  const { hex, int, undefined: nothing } = value as Record<string, unknown>;
  if (typeof hex === 'string') return Buffer.from(hex, 'hex');
  if (typeof int === 'string') return BigInt(int);
  if (nothing === true) return undefined;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, fromCorpus(member)]));
}

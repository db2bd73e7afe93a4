/** What some endpoints take instead of protobuf's JSON: int64 stands there as a number, not as text. */
export type PlainJson =
  | string
  | number
  | bigint
  | readonly PlainJson[]
  | ReadonlyMap<string, PlainJson>
  | { readonly [member: string]: PlainJson };

/** JSON in which whole numbers of any size are exact. */
export function plainJson(value: PlainJson): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(plainJson).join(',')}]`;
  const members = value instanceof Map ? [...value] : Object.entries(value);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${plainJson(member)}`).join(',')}}`;
}

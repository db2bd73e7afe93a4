/** Nothing that is worth logging is longer; what a peer sent may be. */
const longestText = 16 * 1024;
const deepest = 8;

/**
 * JSON for log lines: whatever it is given, it writes something and does not throw. Whole numbers beyond 2^53 (bigint)
 * stay numbers, bytes are base64, errors their message, and what has a `toJSON` (a Secret, a Date, a URL) decides itself.
 */
export function toJson(value: unknown, depth = 0): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > longestText ? `${value.slice(0, longestText)}…` : value);
    case 'number':
      return Number.isFinite(value) ? String(value) : JSON.stringify(String(value));
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'object':
      return value === null ? 'null' : objectToJson(value, depth);
    case 'undefined':
      return 'null';
    default:
      return JSON.stringify(typeof value);
  }
}

function objectToJson(value: object, depth: number): string {
  try {
    if (value instanceof Error) return toJson(errorMessage(value));
    if (ArrayBuffer.isView(value)) {
      return toJson(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'));
    }
    // Also where something refers to itself.
    if (depth >= deepest) return '"…"';
    if ('toJSON' in value && typeof value.toJSON === 'function') return toJson(value.toJSON(), depth + 1);
    if (Array.isArray(value) || value instanceof Set) {
      return `[${[...value].map((item) => toJson(item, depth + 1)).join(',')}]`;
    }
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    return `{${fieldsToJson(entries, depth + 1)}}`;
  } catch (error) {
    return JSON.stringify(`cannot be logged: ${error instanceof Error ? error.message : 'it throws'}`);
  }
}

/** `"a":1,"b":2`: what stands between the braces. Undefined values are left out. */
export function fieldsToJson(entries: Iterable<readonly [unknown, unknown]>, depth: number): string {
  const members: string[] = [];
  for (const [name, value] of entries) {
    if (value !== undefined) members.push(`${JSON.stringify(String(name))}:${toJson(value, depth)}`);
  }
  return members.join(',');
}

/** An error with what caused it: `fetch failed: connect ECONNREFUSED 127.0.0.1:80`. */
function errorMessage(error: Error): string {
  const messages: string[] = [];
  let at: unknown = error;
  for (let i = 0; i < deepest && at instanceof Error; i++) {
    // Node gives an AggregateError of several connection attempts no message of its own.
    const own = at.message || (at instanceof AggregateError ? at.errors.map(String).join('; ') : at.name);
    if (!messages.some((message) => message.includes(own))) messages.push(own);
    at = at.cause;
  }
  return messages.join(': ');
}

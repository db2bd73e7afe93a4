/** Freezes a configuration to the bottom. */
export function deepFreeze<T>(value: T): T {
  // Not bytes, URLs and secrets: they cannot be frozen, or keep what they have to themselves.
  if (!Array.isArray(value) && Object.getPrototypeOf(value ?? 0) !== Object.prototype) return value;
  for (const member of Object.values(value as object)) deepFreeze(member);
  return Object.freeze(value);
}

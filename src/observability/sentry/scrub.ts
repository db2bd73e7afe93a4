const rules: readonly (readonly [RegExp, string])[] = [
  // What GitLab's tokens of all kinds look like, JSON web tokens, and whatever an Authorization header is made of.
  [/\bgl[a-z]{1,8}-[\w.-]{6,}/g, '[secret]'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[secret]'],
  [/\b(bearer|basic)\s+[^\s"',;]+/gi, '$1 [secret]'],
  [/(:\/\/)[^/\s@"]+@/g, '$1[secret]@'],
  [/([\w-]*(?:token|secret|passw(?:or)?d|csrf|cookie|api_?key)[\w-]*["']?\s*[=:]\s*["']?)[^\s"'&;,}]+/gi, '$1[secret]'],
  // A connection's own port differs each time, and the same trouble would look new each time.
  [/(\d+\.\d+\.\d+\.\d+):\d+->/g, '$1:x->'],
];

/**
 * A text as it may leave for another system. Log lines have no secrets by themselves; this is for what an error text of
 * somebody else's may quote.
 */
export function scrub(text: string): string {
  return rules.reduce((scrubbed, [pattern, replacement]) => scrubbed.replace(pattern, replacement), text);
}

/**
 * The values of all cookies of that name, over all `Cookie` lines, read as Go's HTTP server reads them: surrounding quotes
 * go, a value with a byte that cookies must not have is passed over.
 */
export function cookieValues(lines: readonly string[], name: string): string[] {
  const found: string[] = [];
  for (const line of lines) {
    for (const part of line.split(';')) {
      const pair = trim(part);
      const equals = pair.indexOf('=');
      const pairName = equals === -1 ? pair : pair.slice(0, equals);
      if (trim(pairName) !== name) continue;
      const value = unquoted(equals === -1 ? '' : pair.slice(equals + 1));
      if (isCookieValue(value)) found.push(value);
    }
  }
  return found;
}

function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(c: number): boolean {
  return c === 0x20 || c === 0x09;
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

function isCookieValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c < 0x20 || c >= 0x7f || c === 0x22 || c === 0x3b || c === 0x5c) return false;
  }
  return true;
}

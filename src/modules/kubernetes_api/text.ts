const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Whether every character is ASCII: such a string is the same in Latin-1 and in UTF-8. */
function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}

/**
 * The text whose UTF-8 bytes Node has handed over as Latin-1, one character a byte. Undefined if the bytes are no UTF-8.
 */
export function textFromBytes(latin1: string): string | undefined {
  if (isAscii(latin1)) return latin1;
  try {
    return decoder.decode(Buffer.from(latin1, 'latin1'));
  } catch {
    return undefined;
  }
}

/** As textFromBytes, with U+FFFD for whatever is no UTF-8: for values that only somebody else can judge. */
export function textFromBytesLossy(latin1: string): string {
  return isAscii(latin1) ? latin1 : Buffer.from(latin1, 'latin1').toString('utf8');
}

/** The way back: UTF-8 bytes as Latin-1 characters, which is how Node wants header values. */
export function bytesFromText(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

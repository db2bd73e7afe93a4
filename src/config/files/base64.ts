const alphabet = /^[A-Za-z0-9+/]$/;

/**
 * Decodes standard, padded base64, ignoring line ends wherever they are: the form of secret files (docs/configuration.md).
 * Anything else is an error with the place, which is all that may be told of a secret.
 */
export function decodeBase64(text: string): { bytes: Buffer } | { wrong: string } {
  const illegal = (at: number): { wrong: string } => ({ wrong: `illegal base64 data at input byte ${at}` });
  let digits = '';
  let padding = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === '\n' || character === '\r') continue;
    const complete = padding > 0 && (digits.length + padding) % 4 === 0;
    if (character === '=' && !complete && (digits.length + padding) % 4 >= 2) padding++;
    else if (padding > 0 || !alphabet.test(character)) return illegal(i);
    else digits += character;
  }
  const open = (digits.length + padding) % 4;
  return open === 0 ? { bytes: Buffer.from(digits, 'base64') } : illegal(text.length - open);
}

import { stringify } from 'yaml';
import type { Status } from './status_response.ts';

/** Behind this column upstream's library goes on in the next line, where the text has a space. */
const WIDTH = 80;

/** A Status in YAML, to the byte as upstream's library (sigs.k8s.io/yaml) writes it where the message is ordinary text. */
export function yaml(status: Status): string {
  if (!/^[ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*$/.test(status.message)) {
    return stringify(status, { sortMapEntries: true, singleQuote: true, lineWidth: 0 });
  }
  const reason = status.reason === undefined ? '' : `reason: ${status.reason}\n`;
  return (
    `apiVersion: ${status.apiVersion}\ncode: ${status.code}\nkind: ${status.kind}\n` +
    `message: ${singleQuoted(status.message, 'message: '.length)}\nmetadata: {}\n${reason}status: ${status.status}\n`
  );
}

/** Quoted because of the colon that each message has. @param column where it begins */
function singleQuoted(text: string, column: number): string {
  let quoted = "'";
  let at = column + 1;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    const isLone = char === ' ' && text[i - 1] !== ' ' && text[i + 1] !== ' ';
    if (isLone && at > WIDTH && i > 0 && i < text.length - 1) {
      quoted += '\n  ';
      at = 2;
    } else {
      const written = char === "'" ? "''" : char;
      quoted += written;
      at += written.length;
    }
  }
  return `${quoted}'`;
}

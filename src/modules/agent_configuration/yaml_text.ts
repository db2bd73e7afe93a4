import { ConfigurationError } from './configuration_error.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The text of a YAML file: UTF-8, or UTF-16 if it says so at its beginning, as some editors of Windows write it. Lines end in any
 * of the ways that YAML 1.1 knows.
 * @throws ConfigurationError for what no YAML file may hold
 */
export function yamlText(content: Uint8Array): string {
  const text = decoded(content).replace(/\r\n?|\u0085/g, '\n');
  const control = /[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.exec(text);
  if (control === null) return text;
  throw new ConfigurationError(
    'failed to parse agent configuration: YAMLToJSON: yaml: control characters are not allowed',
    text.slice(0, control.index).split('\n').length,
  );
}

function decoded(content: Uint8Array): string {
  const [first, second] = content;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(content);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(content);
  try {
    return utf8.decode(content);
  } catch {
    const line = Buffer.from(content).toString('utf8').split('\ufffd', 1)[0]?.split('\n').length;
    throw new ConfigurationError(
      'failed to parse agent configuration: YAMLToJSON: yaml: invalid leading UTF-8 octet',
      line,
    );
  }
}

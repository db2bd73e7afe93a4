import { StringDecoder } from 'node:string_decoder';

/** Beyond it a line is no log line of ours. */
const LONGEST = 1 << 20;

/**
 * Cuts what a worker writes on its standard error into lines. Lines of its log go on as they are; anything else, such as the last
 * words of a runtime that has run out of memory, is given to `strange`.
 */
export class WholeLines {
  readonly #line: (text: string) => void;
  readonly #strange: (text: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  /** @param line takes whole lines with their newlines, one or more */
  constructor(line: (text: string) => void, strange: (text: string) => void) {
    this.#line = line;
    this.#strange = strange;
  }

  push(chunk: Buffer): void {
    const text = this.#rest + this.#decoder.write(chunk);
    const end = text.lastIndexOf('\n') + 1;
    this.#rest = text.slice(end);
    if (end > 0) this.#pass(text.slice(0, end));
    if (this.#rest.length > LONGEST) this.end();
  }

  /** The worker has ended. */
  end(): void {
    const rest = this.#rest;
    this.#rest = '';
    if (rest !== '') this.#strange(rest);
  }

  #pass(lines: string): void {
    if (lines.startsWith('{') && !/\n[^{]/.test(lines)) {
      this.#line(lines); // nearly always
      return;
    }
    for (const line of lines.split('\n')) {
      if (line.startsWith('{')) this.#line(`${line}\n`);
      else if (line !== '') this.#strange(line);
    }
  }
}

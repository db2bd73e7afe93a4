/** The head of an HTTP/1.x response. */
export interface ResponseHead {
  /** `1.1` or `1.0` */
  readonly version: string;
  readonly statusCode: number;
  /** `200 OK`, as Go has it in `Response.Status`. */
  readonly status: string;
  /** Names as received. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface ResponseEvents {
  /** 1xx but 101 come as `informational`. */
  head(head: ResponseHead): void;
  informational(statusCode: number): void;
  data(chunk: Buffer): void;
  /** The message is complete. @param reusable whether the connection may carry another one */
  end(reusable: boolean): void;
}

type State = 'head' | 'length' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer' | 'until-close' | 'raw' | 'done';

/**
 * Reads one response after another from the bytes of a connection. Own code rather than node:http's client because the agent
 * has to send and see headers exactly as Go does, and because it shares its two processors with what the bench measures.
 */
export class ResponseParser {
  readonly #events: ResponseEvents;
  #state: State = 'done';
  #rest: Buffer | undefined;
  #left = 0;
  #bodyless = false;
  #upgrade = false;
  #keepAlive = true;

  constructor(events: ResponseEvents) {
    this.#events = events;
  }

  /** Expects the answer to a request. */
  expect(method: string, upgrade: boolean): void {
    this.#state = 'head';
    this.#bodyless = method === 'HEAD';
    this.#upgrade = upgrade;
    this.#keepAlive = true;
  }

  /** Whether nothing of the answer has come yet. */
  get untouched(): boolean {
    return this.#state === 'head' && this.#rest === undefined;
  }

  get headPending(): boolean {
    return this.#state === 'head';
  }

  /** Throws when the bytes are no HTTP. */
  push(chunk: Buffer): void {
    let buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    while (buffer.length > 0) {
      const used = this.#step(buffer);
      if (used === 0) {
        this.#rest = buffer;
        return;
      }
      buffer = buffer.subarray(used);
    }
  }

  /** The connection has ended. @returns false if that cut a message off */
  finish(): boolean {
    if (this.#state === 'until-close') this.#end(false);
    return this.#state === 'done' || this.#state === 'raw';
  }

  /** @returns how many bytes were used; 0: more are needed first */
  #step(buffer: Buffer): number {
    switch (this.#state) {
      case 'head':
        return this.#head(buffer);
      case 'length':
      case 'chunk-data': {
        const part = buffer.length <= this.#left ? buffer : buffer.subarray(0, this.#left);
        this.#left -= part.length;
        const wasChunk = this.#state === 'chunk-data';
        if (this.#left === 0 && wasChunk) this.#state = 'chunk-end';
        this.#events.data(part);
        if (this.#left === 0 && !wasChunk) this.#end(this.#keepAlive);
        return part.length;
      }
      case 'chunk-end':
        if (buffer.length < 2) return 0;
        this.#state = 'chunk-size';
        return 2;
      case 'chunk-size': {
        const end = buffer.indexOf('\r\n');
        if (end < 0) return 0;
        this.#left = Number.parseInt(buffer.toString('latin1', 0, end), 16);
        if (!(this.#left >= 0)) throw new Error('invalid byte in chunk length');
        this.#state = this.#left === 0 ? 'trailer' : 'chunk-data';
        return end + 2;
      }
      case 'trailer': {
        const end = buffer.indexOf('\r\n');
        if (end < 0) return 0;
        if (end === 0) this.#end(this.#keepAlive);
        return end + 2;
      }
      case 'until-close':
      case 'raw':
        this.#events.data(buffer);
        return buffer.length;
      case 'done':
        throw new Error('unsolicited response received');
    }
  }

  #head(buffer: Buffer): number {
    const end = buffer.indexOf('\r\n\r\n');
    if (end < 0) {
      if (buffer.length > 1 << 20) throw new Error('net/http: server response headers exceeded 1048576 bytes; aborted');
      return 0;
    }
    const head = parseHead(buffer.toString('latin1', 0, end));
    if (head.statusCode < 200 && head.statusCode !== 101) {
      this.#events.informational(head.statusCode);
      return end + 4;
    }
    this.#frame(head);
    this.#events.head(head);
    if (this.#state === 'length' && this.#left === 0) this.#end(this.#keepAlive);
    return end + 4;
  }

  #frame(head: ResponseHead): void {
    const get = (name: string) =>
      head.headers.findLast(([n]) => n.length === name.length && n.toLowerCase() === name)?.[1];
    const connection = get('connection')?.toLowerCase() ?? '';
    this.#keepAlive = head.version === '1.1' ? !connection.includes('close') : connection.includes('keep-alive');
    const length = get('content-length');
    if (head.statusCode === 101) {
      this.#state = this.#upgrade ? 'raw' : 'length';
      this.#left = 0;
      this.#keepAlive = false;
    } else if (this.#bodyless || head.statusCode === 204 || head.statusCode === 304) {
      this.#state = 'length';
      this.#left = 0;
    } else if (get('transfer-encoding')?.toLowerCase().includes('chunked')) this.#state = 'chunk-size';
    else if (length !== undefined) {
      if (!/^\d+$/.test(length)) throw new Error(`bad Content-Length ${JSON.stringify(length)}`);
      this.#state = 'length';
      this.#left = Number(length);
    } else this.#state = 'until-close';
  }

  #end(reusable: boolean): void {
    this.#state = 'done';
    this.#events.end(reusable);
  }
}

function parseHead(text: string): ResponseHead {
  const lines = text.split('\r\n');
  const match = /^HTTP\/(1\.[01]) (\d{3}) ?(.*)$/.exec(lines[0]!);
  if (match === null) throw new Error(`malformed HTTP response ${JSON.stringify(lines[0])}`);
  const headers: [string, string][] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!;
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`malformed MIME header line: ${line}`);
    headers.push([line.slice(0, colon), line.slice(colon + 1).trim()]);
  }
  const reason = match[3]!;
  return {
    version: match[1]!,
    statusCode: Number(match[2]),
    status: reason === '' ? match[2]! : `${match[2]} ${reason}`,
    headers,
  };
}

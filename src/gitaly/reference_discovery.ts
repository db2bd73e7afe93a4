import { PktLineError, PktLineReader } from './pkt_line.ts';

/** What stands in place of references where there are none; git's own servers write it since 2.33 or so. */
const NO_REFERENCES = 'capabilities^{}';
/** Where HEAD points if the repository does not say. */
const DEFAULT_BRANCHES = ['refs/heads/main', 'refs/heads/master'];

/** The outcome of a search. */
export type Discovered =
  | { readonly kind: 'found'; readonly commitId: string }
  | { readonly kind: 'not found' }
  | { readonly kind: 'empty repository' };

/**
 * Looks for one reference in what `git upload-pack --advertise-refs` writes (docs/protocol/gitaly.md). Push pieces until
 * there is a result; then `finish` if there was none.
 */
export class ReferenceDiscovery {
  readonly #wanted: string;
  readonly #reader = new PktLineReader();
  readonly #fallbacks = new Map<string, string>();
  #state: 'header' | 'flush after header' | 'first reference' | 'references' | 'done' = 'header';
  #references = 0;

  /** @param wanted a full name; `HEAD` stands for the default branch */
  constructor(wanted: string) {
    this.#wanted = wanted;
  }

  /** The result as soon as it is known. @throws PktLineError if this is no reference discovery */
  push(piece: Uint8Array): Discovered | undefined {
    for (const packet of this.#reader.push(piece)) {
      const found = this.#packet(packet);
      if (found !== undefined) return { kind: 'found', commitId: found };
    }
    return undefined;
  }

  /** The result once everything was pushed. @throws PktLineError if it ended too early */
  finish(): Discovered {
    if (this.#state !== 'done' || this.#reader.hasRest) throw new PktLineError('discovery ended prematurely');
    if (this.#references === 0) return { kind: 'empty repository' };
    for (const name of this.#wanted === 'HEAD' ? DEFAULT_BRANCHES : []) {
      const commitId = this.#fallbacks.get(name);
      if (commitId !== undefined) return { kind: 'found', commitId };
    }
    return { kind: 'not found' };
  }

  #packet(packet: Buffer | undefined): string | undefined {
    switch (this.#state) {
      case 'header': {
        const header = packet === undefined ? '' : line(packet);
        if (header !== '# service=git-upload-pack') throw new PktLineError(`unexpected header "${header}"`);
        this.#state = 'flush after header';
        return undefined;
      }
      case 'flush after header':
        if (packet !== undefined) throw new PktLineError('missing flush after service announcement');
        this.#state = 'first reference';
        return undefined;
      case 'first reference':
        return this.#first(packet);
      case 'references':
        if (packet !== undefined) return this.#reference(line(packet), 'invalid reference line');
        this.#state = 'done';
        return undefined;
      case 'done':
        throw new PktLineError('received packet after flush');
    }
  }

  #first(packet: Buffer | undefined): string | undefined {
    if (packet === undefined || packet.length === 0) {
      this.#state = 'done';
      return undefined;
    }
    this.#state = 'references';
    const [reference = '', capabilities] = line(packet).split('\0');
    if (capabilities === undefined) throw new PktLineError('invalid first reference line');
    return this.#reference(reference, 'invalid first reference line');
  }

  #reference(text: string, problem: string): string | undefined {
    const [, commitId, name] = /^([0-9a-f]{40}|[0-9a-f]{64}) (.+)$/.exec(text) ?? [];
    if (commitId === undefined || name === undefined) throw new PktLineError(problem);
    if (name === NO_REFERENCES) return undefined;
    this.#references++;
    if (name === this.#wanted) return commitId;
    if (DEFAULT_BRANCHES.includes(name)) this.#fallbacks.set(name, commitId);
    return undefined;
  }
}

function line(packet: Buffer): string {
  const text = packet.toString('utf8');
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}

import { createGunzip, type Gunzip } from 'node:zlib';

/** Where compressed bytes come from. */
interface Source {
  pause(): void;
  resume(): void;
}

/** Unpacks a gzip body that the agent, not its caller, asked for. */
export class Unpacker {
  readonly #gunzip: Gunzip = createGunzip();
  readonly #source: Source;

  constructor(onData: (chunk: Buffer) => void, onEnd: (error: Error | undefined) => void, source: Source) {
    this.#source = source;
    this.#gunzip.on('data', onData);
    this.#gunzip.on('end', () => onEnd(undefined));
    this.#gunzip.on('error', onEnd);
    this.#gunzip.on('drain', () => source.resume());
  }

  write(chunk: Buffer): void {
    if (!this.#gunzip.write(chunk)) this.#source.pause();
  }

  end(): void {
    this.#gunzip.end();
  }

  destroy(): void {
    this.#gunzip.destroy();
  }
}

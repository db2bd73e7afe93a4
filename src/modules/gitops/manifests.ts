import type { PathCF } from '../../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import type { GitalyCallOptions, GitalyClient, RepositoryAt } from '../../gitaly/client.ts';
import { folderOf, Glob } from './glob.ts';

/** Agents read messages of some megabytes, but one large file should not hold up the connection. */
const PIECE_BYTES = 128 << 10;

export interface ManifestLimits {
  readonly maxManifestFileSize: number;
  readonly maxTotalManifestFileSize: number;
  readonly maxNumberOfFiles: number;
}

/** What an agent asks for cannot be delivered: its configuration, or the repository, is to be corrected. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** Takes a piece of a file, and resolves when it may have the next. */
export type SendPiece = (source: string, data: Uint8Array) => Promise<void>;

interface ManifestsDeps {
  readonly gitaly: Pick<GitalyClient, 'listFiles' | 'readFile'>;
  readonly at: RepositoryAt;
  readonly limits: ManifestLimits;
  readonly send: SendPiece;
  readonly asking: GitalyCallOptions;
}

/** The files that an agent asks for, of one commit, within the limits (docs/protocol/gitops.md). */
export class Manifests {
  visited = 0;
  sent = 0;
  readonly #deps: ManifestsDeps;
  readonly #seen = new Set<string>();
  #bytesLeft: number;

  constructor(deps: ManifestsDeps) {
    this.#deps = deps;
    this.#bytesLeft = deps.limits.maxTotalManifestFileSize;
  }

  /** Rejects with GlobError, ManifestError, or like GitalyClient and `send`. */
  async fetch(commitId: string, paths: readonly PathCF[]): Promise<void> {
    for (const { path } of paths) if (path.case === 'glob') await this.#glob(commitId, path.value);
    for (const { path } of paths) {
      if (path.case !== 'file') continue;
      this.#count();
      if (!this.#seen.has(path.value)) await this.#file(commitId, path.value);
    }
  }

  async #glob(revision: string, text: string): Promise<void> {
    const { gitaly, at, limits, asking } = this.#deps;
    const pattern = text.replace(/^\//, '');
    const glob = new Glob(pattern);
    // One more than may be visited shows that there are too many.
    const atMost = limits.maxNumberOfFiles - this.visited + 1;
    for (const file of await gitaly.listFiles(at, { revision, ...folderOf(pattern), atMost }, asking)) {
      this.#count();
      if (!glob.matches(file.path) || isHidden(file.path)) continue;
      if (this.#seen.has(file.path)) throw new ManifestError(`path visited more than once: ${file.path}`);
      await this.#file(file.commitId, file.path);
    }
  }

  /** Also what turns out not to be wanted counts: it has to be looked at. */
  #count(): void {
    const max = this.#deps.limits.maxNumberOfFiles;
    if (this.visited === max) throw new ManifestError(`maximum number of files limit reached: ${max}`);
    this.visited++;
  }

  async #file(revision: string, path: string): Promise<void> {
    const { gitaly, at, limits, send, asking } = this.#deps;
    this.#seen.add(path);
    const maxBytes = Math.min(limits.maxManifestFileSize, this.#bytesLeft);
    const content = await gitaly.readFile(at, { revision, path, maxBytes }, asking);
    this.#bytesLeft -= content.length;
    let offset = 0;
    do {
      await send(path, content.subarray(offset, offset + PIECE_BYTES));
      offset += PIECE_BYTES;
    } while (offset < content.length);
    this.sent++;
  }
}

function isHidden(path: string): boolean {
  return path
    .split('/')
    .slice(0, -1)
    .some((folder) => folder.startsWith('.'));
}

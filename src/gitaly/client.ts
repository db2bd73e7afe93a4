import type { GitalyInfo, GitalyRepository } from '../gen/gitlab/agent/entity/entity_pb.ts';
import type { RequestContext } from '../observability/tracer.ts';
import type { Discovered } from './reference_discovery.ts';

/** A repository, and the Gitaly that has it. */
export interface RepositoryAt {
  readonly gitaly: GitalyInfo;
  readonly repository: GitalyRepository;
}

export interface GitalyCallOptions extends RequestContext {
  readonly signal: AbortSignal;
  /** How long the caller waits, in milliseconds; a minute if it does not say. */
  readonly timeoutMs?: number;
}

export interface Folder {
  readonly revision: string;
  readonly path: string;
  readonly recursive?: boolean;
  readonly atMost?: number;
}

/** A file of a listing. */
export interface ListedFile {
  /** From the repository's root. */
  readonly path: string;
  /** The revision to read it at. */
  readonly commitId: string;
}

/**
 * Reads repositories (docs/protocol/gitaly.md). Calls wait for their turn under the rate limits; they reject with GitalyError,
 * with AppError InvalidArgument if the address makes no sense, and with the signal's reason when that fires.
 */
export interface GitalyClient {
  /** The commit that `ref`, a full name or `HEAD`, points at. */
  findRef(at: RepositoryAt, ref: string, options: GitalyCallOptions): Promise<Discovered>;
  /** A file's content; GitalyError NotFound, FileTooBig if it has more than `maxBytes`, UnexpectedTreeEntryType. */
  readFile(
    at: RepositoryAt,
    file: { readonly revision: string; readonly path: string; readonly maxBytes: number },
    options: GitalyCallOptions,
  ): Promise<Buffer>;
  /**
   * The files in and below a folder (`.`: the root), in Gitaly's order; GitalyError NotFound if there is no such revision or
   * folder. Not those below if `recursive` is false; not more than `atMost`.
   */
  listFiles(at: RepositoryAt, folder: Folder, options: GitalyCallOptions): Promise<readonly ListedFile[]>;
}

/** A refusal by GitLab, kept so that no node asks again for what was just refused. */
export interface CachedError {
  readonly status: number;
  readonly path: string;
  /** Empty if GitLab gave none. */
  readonly reason: string;
}

/** Refusals shared by all nodes. Both methods reject if the store is in trouble; callers go on without it. */
export interface ErrorCache {
  /**
   * @param kind which lookup it is, e.g. `agent_info_errs`
   * @param hash SHA-256 of the whole credential and of whatever else was asked about: never the credential itself
   */
  get(kind: string, hash: Buffer): Promise<CachedError | undefined>;
  set(kind: string, hash: Buffer, error: CachedError, ttlMs: number): Promise<void>;
}

/** A refusal by GitLab, kept so that no node asks again for what was just refused. */
export interface CachedError {
  readonly status: number;
  readonly path: string;
  /** Empty if GitLab gave none. */
  readonly reason: string;
}

/** A question that is asked of GitLab, by its names in the store. */
export interface LookupKinds {
  /** Of refusals, e.g. `agent_info_errs`. */
  readonly errors: string;
  /** Of answers that nodes share, e.g. `agent_info`. */
  readonly answers: string;
}

/** What an earlier question has brought. */
export interface Known {
  readonly error?: CachedError | undefined;
  /** As a node shared it. */
  readonly answer?: Buffer | undefined;
}

/** An answer for the node that will be asked next. */
export interface SharedAnswer {
  readonly hash: Buffer;
  /** Others can read what is in the store: no secret may stand in it. It says itself how long it holds. */
  readonly answer: Buffer;
}

/** Refusals and answers shared by all nodes. All methods reject if the store is in trouble; callers go on without it. */
export interface ErrorCache {
  /**
   * @param kind which lookup it is, e.g. `agent_info_errs`
   * @param hash SHA-256 of the whole credential and of whatever else was asked about: never the credential itself
   */
  get(kind: string, hash: Buffer): Promise<CachedError | undefined>;
  set(kind: string, hash: Buffer, error: CachedError, ttlMs: number): Promise<void>;
  /** Like `get`, and what was shared in the last five minutes, or a little longer. */
  look(kinds: LookupKinds, hash: Buffer): Promise<Known>;
  share(kinds: LookupKinds, answers: readonly SharedAnswer[]): Promise<void>;
}

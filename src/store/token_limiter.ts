/** Counts what agents do per token and minute, over all nodes. */
export interface TokenLimiter {
  /**
   * Counts one against the token's current UTC minute. False, and nothing counted, if the minute already has `limit`.
   * Rejects if the store cannot say.
   *
   * @param tokenHash SHA-256 of the whole token
   */
  tryTake(tokenHash: Buffer, limit: number): Promise<boolean>;
}

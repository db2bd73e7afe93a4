/** What a worker is told when it asks what to do. */
export interface StartMessage {
  /** As `packConfig` packs it. */
  readonly config: unknown;
  readonly number: number;
  /** Where its own private API is to listen, for its siblings. */
  readonly ownSocket: string;
  /** What siblings know each other by where no private API is configured. */
  readonly secret: Buffer;
}

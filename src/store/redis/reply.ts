import { RedisError } from './redis_error.ts';

/** The words of a command. Keys and values hold any bytes. */
export type Command = (string | Buffer)[];

/** Bulk strings come as bytes, status lines as text; errors within an array as Error. */
export type Reply = Buffer | string | number | null | Error | Reply[];

/** The replies in an array. @throws RedisError if it is none */
export function asArray(reply: Reply): Reply[] {
  if (Array.isArray(reply)) return reply;
  throw unexpected(reply);
}

/** The bytes of a bulk string; undefined if there is none. @throws RedisError if it is something else */
export function asBytes(reply: Reply | undefined): Buffer | undefined {
  if (reply === null || Buffer.isBuffer(reply)) return reply ?? undefined;
  throw unexpected(reply);
}

/** @throws RedisError if it is no number */
export function asNumber(reply: Reply | undefined): number {
  if (typeof reply === 'number') return reply;
  throw unexpected(reply);
}

/** @throws RedisError if one of the replies is an error */
export function requireDone(replies: readonly Reply[]): void {
  for (const reply of replies) if (reply instanceof Error) throw unexpected(reply);
}

function unexpected(reply: Reply | undefined): RedisError {
  if (reply instanceof Error) return new RedisError(reply.message, { cause: reply, answered: true });
  return new RedisError(`unexpected ${reply === null ? 'nil' : typeof reply} in an answer`, { answered: true });
}

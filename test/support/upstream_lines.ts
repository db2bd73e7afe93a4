import { readFileSync } from 'node:fs';
import type { LogLine } from './server.ts';

/** Each distinct line that was recorded from upstream's server. */
export const upstreamLines: readonly LogLine[] = readFileSync(
  new URL('../vectors/logs/kas.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as LogLine);

/** Fields without a meaning here: counters of tokens need no Redis. */
const notHere: Readonly<Record<string, readonly string[]>> = {
  'redistool.TokenLimiter: rate limit exceeded': ['redis_key'],
};

const byMessage = Map.groupBy(upstreamLines, ({ msg }) => msg);

/**
 * In what a line of ours differs from those that upstream has with the same text: its level, or a field that is missing.
 * @param told whether a line with this text and level has come before: failures that go on are told of at debug from then on
 */
export function differenceFromUpstream(
  line: LogLine,
  told: (msg: string, level: string) => boolean,
): string | undefined {
  const theirs = byMessage.get(line.msg);
  if (theirs === undefined) return undefined;
  const repeated = line.level === 'debug' && theirs.some(({ level }) => told(line.msg, level));
  if (!repeated && !theirs.some(({ level }) => level === line.level)) return `level ${line.level}`;
  const wanted = (name: string) => !(name in line) && !notHere[line.msg]?.includes(name);
  const missing = theirs.map((one) => Object.keys(one).filter(wanted));
  return missing.some((names) => names.length === 0) ? undefined : `without ${missing[0]?.join(', ')}`;
}

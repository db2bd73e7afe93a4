import type { Clock } from '../runtime/clock.ts';
import { fieldsToJson } from './json.ts';
import type { Fields, Level, Log } from './log.ts';

const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

export interface JsonLogOptions {
  /** Lines below are not written. */
  readonly level: Level;
  readonly clock: Clock;
  /** Takes one line with its newline. Must not throw, nor wait. */
  readonly write: (line: string) => void;
}

/** One JSON object a line, as upstream's log has them (docs/protocol/logs.md): level, time, msg, then the fields. */
export function createJsonLog({ level, clock, write }: JsonLogOptions): Log {
  const least = order.indexOf(level);
  const make = (context: string): Log => {
    const line = (at: Level, message: string, fields: Fields | undefined): void => {
      if (order.indexOf(at) < least) return;
      const own = fields === undefined ? '' : withComma(fieldsToJson(Object.entries(fields), 0));
      write(
        `{"level":"${at}","time":"${formatTime(clock.wallMs())}","msg":${JSON.stringify(message)}${context}${own}}\n`,
      );
    };
    return {
      debugEnabled: least === 0,
      debug: (message, fields) => line('debug', message, fields),
      info: (message, fields) => line('info', message, fields),
      warn: (message, fields) => line('warn', message, fields),
      error: (message, fields) => line('error', message, fields),
      with: (fields) => make(context + withComma(fieldsToJson(Object.entries(fields), 0))),
    };
  };
  return make('');
}

function withComma(members: string): string {
  return members === '' ? '' : `,${members}`;
}

/** ISO 8601 in local time with milliseconds, `Z` for UTC and `+0200` for others. */
function formatTime(wallMs: number): string {
  const west = new Date(wallMs).getTimezoneOffset();
  const local = new Date(wallMs - west * 60_000).toISOString();
  if (west === 0) return local;
  const minutes = Math.abs(west);
  const zone = [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join('');
  return `${local.slice(0, -1)}${west > 0 ? '-' : '+'}${zone}`;
}

import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import type { Scope } from './scope.ts';

/** The process is looked at this often. */
const PERIOD_MS = 500;
/** It is quiet when it has worked for less than this part of so many periods … */
const QUIET = { part: 0.1, periods: 2 };
/** … and busy when it has worked for more than this part of one. */
const BUSY_PART = 0.2;
/** So many connections and streams more, or fewer, are worth a collection. */
const CROWD = 200;
/** V8 has so many periods for it. */
const COLLECTING_PERIODS = 8;

/** What is known of the process, and what can be done. */
export interface QuietHeapDeps {
  readonly scope: Scope;
  /** How many connections are open, and streams of HTTP/2: an agent's stay as long as it does. */
  open(): number;
  /** Milliseconds that the event loop has worked so far, and that it has waited; default: those of this process. */
  loopTimes?(): { readonly active: number; readonly idle: number };
  /** Tells V8 whether memory counts more than processor time; default: it is told. */
  saveMemory?(on: boolean): void;
}

/**
 * Gives back what a crowd of agents has left, once the process is quiet: when they have come, and when they have gone. V8
 * would do that by itself, but it takes a Node process for a busy one, however idle it is. In its mode for saving memory it does not ask. That
 * collection marks while the program goes on, and stops it for some 20 ms with thousands of agents; but code may have to be optimized anew after
 * it, so it is not done after each burst of requests. The executable shortens V8's own waiting times (scripts/build.ts).
 */
export function collectAfterCrowds({
  scope,
  open,
  loopTimes = () => performance.eventLoopUtilization(),
  saveMemory = (on) => setFlagsFromString(on ? '--memory-saver-mode' : '--no-memory-saver-mode'),
}: QuietHeapDeps): void {
  if (process.versions.deno !== undefined) return; // it has no such switch
  let last = loopTimes();
  let quietPeriods = 0;
  let collectedWith = open();
  let collectingPeriods = 0;
  const look = () => {
    const now = loopTimes();
    const active = now.active - last.active;
    const part = active / Math.max(1, active + now.idle - last.idle);
    last = now;
    quietPeriods = part < QUIET.part ? quietPeriods + 1 : 0;
    if (collectingPeriods > 0) {
      // Cut short it is not done again: requests that come every few seconds would have it all the time.
      if (part > BUSY_PART) collectingPeriods = 0;
      else collectingPeriods--;
      if (collectingPeriods === 0) saveMemory(false);
    } else if (quietPeriods >= QUIET.periods && Math.abs(open() - collectedWith) >= CROWD) {
      collectedWith = open();
      collectingPeriods = COLLECTING_PERIODS;
      saveMemory(true);
    }
    scope.timeout(PERIOD_MS, look);
  };
  scope.timeout(PERIOD_MS, look);
}

import type { Scope } from '../runtime/scope.ts';

/** A connection that is sent away is work of about a millisecond, here and at the node that its agent goes to. */
const PER_MS = 1;
/** What runs meanwhile has its turn after as many. */
const SLICE_MS = 50;

/**
 * Visits all of `things`, about 1,000 a second or as many as make it `withinMs`, a few at a time; few of them at once. What has gone when its turn comes is
 * for `visit` to know. Resolves after the last, or when the scope is closed.
 */
export async function inSlices<T>(
  things: readonly T[],
  withinMs: number,
  scope: Scope,
  visit: (thing: T) => void,
): Promise<void> {
  const slices = Math.max(1, Math.ceil(Math.min(things.length / PER_MS, withinMs) / SLICE_MS));
  const size = Math.ceil(things.length / slices);
  for (let i = 0; i < things.length; i += size) {
    if (i > 0 && !(await scope.sleep(SLICE_MS))) return;
    for (const thing of things.slice(i, i + size)) visit(thing);
  }
}

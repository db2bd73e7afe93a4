import process from 'node:process';
import { setFlagsFromString } from 'node:v8';

/**
 * Lets the young generation of the heap grow, as far as it may, while much of it survives: when a crowd of agents arrives, little is copied
 * then. Not before the server has started: nearly everything of a program that is being loaded survives, and the room that this takes would stay.
 */
export const youngGeneration = {
  keepSmall: () => growBy(1),
  letGrow: () => growBy(2),
};

/** V8 reads it each time it would grow. */
function growBy(factor: number): void {
  if (process.versions.deno !== undefined) return; // it has no such switch
  setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}

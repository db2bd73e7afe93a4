/** Chance that is the same in each run (mulberry32). */
export function seededRandom(seed: number): { below(n: number): number; bytes(n: number): Buffer } {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { below, bytes: (n) => Buffer.from(Array.from({ length: n }, () => below(256))) };
}

/**
 * Buffers for pieces of bodies, used again and again. A download makes one of 32 KiB per message, and what is allocated
 * outside the heap makes V8 collect garbage as if it were inside: half of the processor time of a download went there.
 *
 * Whoever borrows a buffer may give it back, and then must not touch it any more; one that is not given back is garbage
 * like any other.
 */

/** A chunk of a body with what its wrappers add. */
const BUFFER_BYTES = 34 << 10;
/** Smaller ones are cheap to allocate, and would waste most of a pooled one. */
const SMALLEST_BYTES = 8 << 10;
/** Idle buffers to keep: 2 MiB. */
const KEPT = 64;

const lent = Symbol('lent');
type PooledMemory = ArrayBufferLike & { [lent]?: boolean };

const idle: PooledMemory[] = [];

/** A buffer of `bytes`, with anything in it. */
export function borrowBuffer(bytes: number): Buffer {
  if (bytes < SMALLEST_BYTES || bytes > BUFFER_BYTES) return Buffer.allocUnsafe(bytes);
  const memory: PooledMemory = idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES).buffer;
  memory[lent] = true;
  return Buffer.from(memory, 0, bytes);
}

/** Gives back the buffer that `view` is a part of, if it was borrowed. */
export function returnBuffer(view: Uint8Array): void {
  const memory: PooledMemory = view.buffer;
  if (memory[lent] !== true) return;
  memory[lent] = false;
  if (idle.length < KEPT) idle.push(memory);
}

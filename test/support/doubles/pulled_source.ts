/** A body whose pieces are asked for one by one; it notes how many were, and that its reader is done with it. */
export function pulledSource(pieces: readonly Buffer[]) {
  const state = { asked: 0, returned: false };
  async function* source() {
    try {
      for (const piece of pieces) {
        state.asked++;
        yield piece;
      }
    } finally {
      state.returned = true;
    }
  }
  return { state, source };
}

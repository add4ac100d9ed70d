/**
 * The candidate that a mistyped word most likely means: at most `reach` changes away, by default two,
 * or a third of a long word. Undefined if there is no such candidate.
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
  reach = Math.max(2, Math.floor(word.length / 3)),
): string | undefined {
  let best: string | undefined;
  let least = reach + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate, least);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/**
 * Letters to insert, remove, replace, or swap with their neighbour (optimal string alignment). Gives up
 * as soon as there are `limit` of them: each start compares all variables with all settings.
 */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    if (Math.min(...last, ...current) >= limit) return limit;
    [beforeLast, last] = [last, current];
  }
  return last[to.length] ?? 0;
}

/** What no answer may hold: stack frames, names of errors, paths of this machine. */
const leaks =
  /(?:\n|\\n)\s*at |\b(?:Type|Range|Syntax|Reference|Eval|URI|Aggregate)Error\b|node_modules|\$bunfs|\.tsx?:\d|\/(?:src|home|root|tmp|usr|proc)\//;

/** The part of an answer that should have stayed inside. */
export function leakIn(answer: string): string | undefined {
  const at = answer.search(leaks);
  return at === -1 ? undefined : answer.slice(Math.max(0, at - 40), at + 120);
}

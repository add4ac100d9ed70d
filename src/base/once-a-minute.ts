const minuteMs = 60_000;

/**
 * For log lines that a client could cause without end: true for each subject once a minute, and for at
 * most `most` subjects in one minute. What is remembered is bounded by `most`.
 */
export function onceAMinute(monotonicMs: () => number, most: number): (subject: string) => boolean {
  const seen = new Set<string>();
  let minuteEnds = 0;
  return (subject) => {
    const now = monotonicMs();
    if (now >= minuteEnds) {
      seen.clear();
      minuteEnds = now + minuteMs;
    }
    if (seen.size >= most || seen.has(subject)) return false;
    seen.add(subject);
    return true;
  };
}

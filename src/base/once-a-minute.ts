const minuteMs = 60_000;

/**
 * For log lines that clients could cause without limit: true once a minute for each subject, for at
 * most `most` subjects in a minute. Remembers at most `most` subjects.
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

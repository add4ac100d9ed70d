const msPerUnit: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "\u00b5s": 1e-3,
  "\u03bcs": 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** A smaller distance from a whole ms is a rounding error. */
const halfNanosecond = 5e-7;

const part = "(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h)";
const whole = new RegExp(`^[+-]?(?:${part})+$`);
const parts = /([\d.]+)([a-z\u00b5\u03bc]+)/g;

/**
 * Reads a duration as Go's `time.ParseDuration` does ("1h30m", "1.5s", "0"). Answers ms, which may have
 * a fraction and be negative. Undefined when `text` is not a duration; only 0 needs no unit.
 */
export function parseDuration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!whole.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(parts)) {
    ms += Number(amount) * (msPerUnit[unit as string] as number);
  }
  const nearest = Math.round(ms);
  const exact = Math.abs(ms - nearest) < halfNanosecond ? nearest : ms;
  return text.startsWith("-") ? -exact : exact;
}

/**
 * The duration as a person would write it for Go: "10m", "1h30m", "1.5s", "500ms", "0s". `ms` is
 * whole and ≥ 0; `parseDuration` reads the same number back.
 */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 1_000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = (ms % 60_000) / 1_000;
  return (
    (hours > 0 ? `${hours}h` : "") +
    (minutes > 0 ? `${minutes}m` : "") +
    (seconds > 0 ? `${seconds}s` : "")
  );
}

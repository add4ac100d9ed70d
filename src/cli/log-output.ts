import type { Clock } from "../base/clock.ts";

/** The part of a stream such as `process.stdout` that is used. */
interface LineStream {
  /**
   * False: it holds the text and takes more after `drain`. `done` is called when the text is written
   * or has failed; after that the stream may be tried again.
   */
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "drain" | "error", listener: () => void): unknown;
}

/** Lines wait for a slow reader up to this many characters, then they are lost and counted. */
const maxWaiting = 4 * 1_024 * 1_024;

/**
 * Writes lines in order. Bun's own queue is lost when the process exits, so lines wait here while
 * the stream is full: after a write that is refused, `drain` continues. (A synchronous write
 * to a full pipe would either stop every connection or fail with EAGAIN.)
 *
 * A write that fails loses its lines and those that wait, and nothing else: the next line is tried
 * again, so that a log on a full disk continues when there is space.
 */
export function logOutput(stream: LineStream, clock: Pick<Clock, "after">) {
  const waiting: string[] = [];
  let waitingLength = 0;
  let isFull = false;
  /** A write that failed may have left half a line. */
  let isCut = false;
  let lost = 0;
  let settled: () => void = () => {};

  function put(text: string, lines: number): void {
    const whole = isCut ? `\n${text}` : text;
    isCut = false;
    const isTaken = stream.write(whole, (error) => {
      if (error) failed(lines);
    });
    if (!isTaken) isFull = true;
  }

  function failed(lines: number): void {
    lost += lines + takeWaiting().length;
    isCut = true;
    isFull = false;
    settled();
  }

  function takeWaiting(): readonly string[] {
    waitingLength = 0;
    return waiting.splice(0);
  }

  stream.on("drain", () => {
    isFull = false;
    const lines = takeWaiting();
    if (lines.length > 0) put(lines.join(""), lines.length);
    if (!isFull) settled();
  });
  // `done` gets the same error; without a listener here the process would end.
  stream.on("error", () => {});

  return {
    /** Takes a whole line. Never waits: a reader that is slow must not hold up the server. */
    write(line: string): void {
      if (!isFull) return put(line, 1);
      if (waitingLength + line.length > maxWaiting) lost++;
      else {
        waiting.push(line);
        waitingLength += line.length;
      }
    },
    /** Resolves when all is written or lost, or after `withinMs`. */
    flush(withinMs: number): Promise<void> {
      if (!isFull) return Promise.resolve();
      return new Promise((resolve) => {
        const cancel = clock.after(withinMs, resolve);
        settled = () => {
          cancel();
          resolve();
        };
      });
    },
    /** Lines lost since the start: to a slow reader, a full disk, a reader that is gone. */
    lost: () => lost,
  };
}

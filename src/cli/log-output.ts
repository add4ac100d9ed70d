import type { Clock } from "../base/clock.ts";

/** What of a stream is needed; `process.stdout` is one. */
export interface LineStream {
  /** False: it holds the text and takes more after `drain`. */
  write(text: string): boolean;
  on(event: "drain" | "error", listener: () => void): unknown;
}

export interface LogOutput {
  /** Takes a whole line. Never waits: a reader that is slow must not hold up the server. */
  write(line: string): void;
  /** Resolves when all is written, when nobody reads any more, or after `withinMs`. */
  flush(withinMs: number): Promise<void>;
  /** Lines thrown away since the last call. */
  takeLost(): number;
}

/** Lines wait for a slow reader up to this many characters, then they are lost and counted. */
const maxWaiting = 4 * 1_024 * 1_024;

/**
 * Writes lines in order. Bun's own queue is lost when the process exits, so lines wait here while
 * the stream is full: a write that is refused ends the turn, `drain` goes on. (A synchronous write
 * to a full pipe would either stop every connection or fail with EAGAIN.)
 */
export function logOutput(stream: LineStream, clock: Pick<Clock, "after">): LogOutput {
  const waiting: string[] = [];
  let waitingLength = 0;
  let isFull = false;
  let isBroken = false;
  let lost = 0;
  let settled: () => void = () => {};

  function put(line: string): void {
    if (!stream.write(line)) isFull = true;
  }
  stream.on("drain", () => {
    isFull = false;
    const lines = waiting.splice(0);
    waitingLength = 0;
    if (lines.length > 0 && !isBroken) put(lines.join(""));
    if (!isFull) settled();
  });
  stream.on("error", () => {
    // Whoever read the log is gone. Logging that would fail the same way, without end.
    isBroken = true;
    waiting.length = 0;
    settled();
  });

  return {
    write(line) {
      if (isBroken) return;
      if (!isFull) return put(line);
      if (waitingLength + line.length > maxWaiting) lost++;
      else {
        waiting.push(line);
        waitingLength += line.length;
      }
    },
    flush(withinMs) {
      if (!isFull || isBroken) return Promise.resolve();
      return new Promise((resolve) => {
        const cancel = clock.after(withinMs, resolve);
        settled = () => {
          cancel();
          resolve();
        };
      });
    },
    takeLost() {
      const count = lost;
      lost = 0;
      return count;
    },
  };
}

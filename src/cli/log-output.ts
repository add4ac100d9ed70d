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

/** Lines wait for a slow reader up to this many characters. Then they are lost and counted. */
const maxWaiting = 4 * 1_024 * 1_024;

/**
 * Writes lines in order. Bun's own queue is lost when the process exits, so lines wait here while the
 * stream is full, until its `drain`. (A synchronous write to a full pipe would stop every connection
 * or fail with EAGAIN.)
 *
 * A write that fails loses its lines and those that wait, and nothing else: the next line is tried
 * again, so that a log on a full disk continues when there is space.
 */
export class LogOutput {
  /** Lines lost since the start: to a slow reader, a full disk, a reader that is gone. */
  lost = 0;
  private waiting: string[] = [];
  private waitingLength = 0;
  private isFull = false;
  /** A write that failed may have left half a line. */
  private isCut = false;
  private settled: () => void = () => {};

  constructor(
    private readonly stream: LineStream,
    private readonly clock: Pick<Clock, "after">,
  ) {
    stream.on("drain", () => {
      this.isFull = false;
      const lines = this.takeWaiting();
      if (lines.length > 0) this.put(lines.join(""), lines.length);
      if (!this.isFull) this.settled();
    });
    // `done` gets the same error. Without a listener here the process would end.
    stream.on("error", () => {});
  }

  /** Takes a whole line. Never waits: a reader that is slow must not hold up the server. */
  readonly write = (line: string): void => {
    if (!this.isFull) this.put(line, 1);
    else if (this.waitingLength + line.length > maxWaiting) this.lost++;
    else {
      this.waiting.push(line);
      this.waitingLength += line.length;
    }
  };

  /** Resolves when all is written or lost, or after `withinMs`. */
  flush(withinMs: number): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.settled = resolve;
    return promise.finally(this.clock.after(withinMs, resolve));
  }

  private put(text: string, lines: number): void {
    const whole = this.isCut ? `\n${text}` : text;
    this.isCut = false;
    const isTaken = this.stream.write(whole, (error) => {
      if (!error) return;
      this.lost += lines + this.takeWaiting().length;
      this.isCut = true;
      this.isFull = false;
      this.settled();
    });
    if (!isTaken) this.isFull = true;
  }

  private takeWaiting(): readonly string[] {
    const lines = this.waiting;
    this.waiting = [];
    this.waitingLength = 0;
    return lines;
  }
}

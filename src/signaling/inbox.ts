import type { Cancel, Clock } from "../base/clock.ts";
import type { Later } from "../base/later.ts";
import { type Connection, pauseReasons } from "./connection.ts";
import { FrameBudget } from "./frame-budget.ts";

/** A connection whose frames have to wait is read from until this many wait … */
const pauseAtFrames = 32;
/** … and a runtime that was told to pause still hands over what it had read, up to this. */
const chunkBytes = 1_048_576;

/** What becomes of a frame whose turn has come. */
export interface FrameHandler {
  handle(text: string): Later<void>;
}

export interface InboxOptions {
  readonly clock: Clock;
  readonly wsMaxMsgBytes: number;
  /** Frames a second that are handled; 0: no limit. */
  readonly framesPerSec: number;
}

/**
 * Keeps one connection's frames in order whatever has to be awaited in between, and hands them on
 * no faster than the connection may send. While nothing is awaited, a frame is handled in the turn
 * in which it came and nothing is queued.
 *
 * It is its own budget: with thousands of busy sockets, one more object that every frame has to look
 * at is one more miss of the processor's cache.
 */
export class Inbox extends FrameBudget {
  /** Undefined while nothing waits, as nearly always. */
  private waiting: string[] | undefined;
  /** What stands before this index was handled. */
  private head = 0;
  private waitingBytes = 0;
  private held = false;
  private busy = false;
  /** Set while frames wait because the connection sends too fast. */
  private slowed: Cancel | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: InboxOptions,
    private readonly handler: FrameHandler,
  ) {
    super(options.framesPerSec, options.clock);
  }

  /** Queues frames until `release`. */
  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
    this.run();
  }

  /** Handles or queues a frame. False when so much waits that the frame is refused. */
  push(text: string): boolean {
    const direct = !this.held && !this.busy && this.waiting === undefined;
    if (direct && this.take()) {
      const done = this.handler.handle(text);
      if (done !== undefined) this.await(done);
      return true;
    }
    const { wsMaxMsgBytes } = this.options;
    if (this.waitingBytes + text.length > 2 * wsMaxMsgBytes + chunkBytes) return false;
    this.waiting ??= [];
    this.waiting.push(text);
    this.waitingBytes += text.length;
    if (this.waiting.length - this.head >= pauseAtFrames || this.waitingBytes >= wsMaxMsgBytes) {
      this.connection.pause(pauseReasons.inbox);
    }
    if (direct) this.slowDown();
    return true;
  }

  /** Drops what waits. Answers how many frames that was. */
  discard(): number {
    const dropped = (this.waiting?.length ?? 0) - this.head;
    this.clear();
    this.slowed?.();
    this.slowed = undefined;
    return dropped;
  }

  private clear(): void {
    this.waiting = undefined;
    this.head = 0;
    this.waitingBytes = 0;
  }

  private await(done: Promise<void>): void {
    this.busy = true;
    const next = () => {
      this.busy = false;
      this.run();
    };
    void done.then(next, next);
  }

  private run(): void {
    if (this.waiting === undefined) return;
    // What is handled may discard what waits.
    while (this.waiting && this.head < this.waiting.length && !this.held && !this.busy) {
      if (!this.take()) return this.slowDown();
      const text = this.waiting[this.head++] as string;
      this.waitingBytes -= text.length;
      try {
        const done = this.handler.handle(text);
        if (done !== undefined) this.await(done);
      } catch (error) {
        // One frame that cannot be handled must not keep those behind it waiting for ever.
        this.options.clock.after(0, () => this.run());
        throw error;
      }
    }
    if (this.waiting === undefined || this.head < this.waiting.length) return;
    this.clear();
    this.connection.resume(pauseReasons.inbox);
    this.connection.resume(pauseReasons.rate);
  }

  /** Reads no more, and goes on when frames may be handled again. */
  private slowDown(): void {
    if (this.slowed) return;
    this.connection.pause(pauseReasons.rate);
    this.slowed = this.options.clock.after(this.waitMs(), () => {
      this.slowed = undefined;
      this.run();
    });
  }
}

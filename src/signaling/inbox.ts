import type { Account } from "../base/account.ts";
import type { Cancel } from "../base/clock.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { type Connection, pauseReasons, type SignalingContext } from "./context.ts";
import { largeFrameLength, type Served } from "./fair-queue.ts";

/** After a silence, a connection may send the frames of this many seconds at once. */
const burstSeconds = 2;
/** A frame costs one token, and one more for each full block of this many characters. */
const charactersPerToken = 512;
/** Tolerance for rounding. */
const almostOne = 0.999;

/** When this many frames of a connection wait, the server stops reading from it. */
const pauseAtFrames = 32;
/** After a pause, the runtime still hands over up to this many bytes that it had already read. */
const chunkBytes = 1_048_576;
/** Memory for a waiting frame in addition to its characters: its string and its place in the queue. */
const bytesPerFrame = 64;
/** Most relayed frames under way at a time. Together they are at most as long as one frame may be. */
const maxTogether = 64;

/** Why a frame has to wait: its client has used up its share of CPU time, or its connection is too fast. */
type Limit = "share" | "rate";

/** Why a frame is refused: too much waits for its connection, for its client, or in total. */
type InboxRefusal = "parked_overflow" | "client_buffers_full" | "buffers_full";

/** A relayed frame that the engine is handling. Later frames need not wait: the engine keeps their order. */
interface UnderWay<T> {
  readonly mayOverlap: Promise<T>;
}

/** The result of a handler. Later frames wait for a promise. */
export type Handled<T = string | undefined> = MaybePromise<T> | UnderWay<T>;

/** The outcome of a frame, whether or not later frames may overlap with it. */
export function outcomeOf<T extends string | undefined>(handled: Handled<T>): MaybePromise<T> {
  return typeof handled === "object" && "mayOverlap" in handled ? handled.mayOverlap : handled;
}

/**
 * Keeps one connection's frames in order while earlier ones are awaited. Limits how fast they are handled:
 * by the connection's rate, and by its client's share of CPU time. If no limit applies and nothing is
 * awaited, a frame is handled at once and not queued.
 */
export class Inbox implements Served {
  /** Frames that wait; undefined for none, which is usual. */
  private waiting: string[] | undefined;
  /** Index of the first frame in `waiting` that was not handled yet. */
  private head = 0;
  private waitingBytes = 0;
  /** `held`: frames are queued until `release`. `parked`: only a few, since it may never get a seat. */
  private state: "open" | "held" | "parked" = "open";
  private busy = false;
  /** Outcomes of the relayed frames that were handed on in this turn. */
  private together: Promise<unknown>[] | undefined;
  private togetherCharacters = 0;
  /** Set while frames wait because the connection sends too fast. */
  private slowed: Cancel | undefined;
  /** Frames that the connection may still send. Refilled at FRAMES_PER_SEC. */
  private tokens: number;
  private filledAt: number;

  constructor(
    private readonly connection: Connection,
    private readonly options: Pick<
      SignalingContext,
      "clock" | "wsMaxMsgBytes" | "framesPerSec" | "fairQueue"
    >,
    /** Called with each frame, in order. If it returns a promise, the next frame waits for it. */
    private readonly handler: { handle(text: string): Handled },
    /** The accounts that waiting frames count towards. */
    private readonly accounts: readonly Account[],
  ) {
    connection.inbox = this;
    this.tokens = options.framesPerSec * burstSeconds;
    this.filledAt = connection.heardAt;
  }

  hold(): void {
    this.state = "held";
  }

  park(): void {
    this.state = "parked";
  }

  release(): void {
    this.state = "open";
    this.serve();
  }

  /** Handles or queues a frame. Returns why it is refused; undefined: it is not. */
  push(text: string): InboxRefusal | undefined {
    const direct = this.state === "open" && !this.busy && this.waiting === undefined;
    const { heardAt } = this.connection;
    const limit = direct ? this.limitFor(text, heardAt) : undefined;
    if (direct && limit === undefined) {
      const outcome = outcomeOf(this.handle(text, heardAt));
      if (outcome instanceof Promise) this.await(outcome);
      return undefined;
    }
    const refusal = this.refusal(text);
    if (refusal !== undefined) return refusal;
    this.waiting ??= [];
    this.waiting.push(text);
    this.count(text.length + bytesPerFrame);
    const { wsMaxMsgBytes, fairQueue } = this.options;
    const isMuch = this.frames() >= pauseAtFrames || this.characters() >= wsMaxMsgBytes;
    fairQueue.received(this.connection, text.length, heardAt, isMuch);
    if (isMuch) this.connection.pause(pauseReasons.inbox);
    if (limit !== undefined) this.waitFor(limit);
    return undefined;
  }

  get nextLength(): number | undefined {
    return this.waiting?.[this.head]?.length;
  }

  serve(until?: number): void {
    try {
      this.handOn(until);
    } finally {
      if (this.together !== undefined) this.await();
    }
  }

  /** Drops the waiting frames. Returns how many. */
  discard(): number {
    const dropped = this.frames();
    this.clear();
    this.slowed?.();
    this.slowed = undefined;
    return dropped;
  }

  /**
   * A parked connection may queue 32 frames, and as many characters as one frame may have. Other
   * connections are slowed down, not closed: they may also queue the bytes that come after a pause.
   */
  private refusal(text: string): InboxRefusal | undefined {
    const { wsMaxMsgBytes, fairQueue } = this.options;
    if (this.state === "parked") {
      const tooLong = this.characters() + text.length > wsMaxMsgBytes;
      if (tooLong || this.frames() >= pauseAtFrames) return "parked_overflow";
    }
    const bytes = this.waitingBytes + text.length + bytesPerFrame;
    if (bytes > 2 * wsMaxMsgBytes + chunkBytes) return "parked_overflow";
    const bound = fairQueue.queued.bound(this.accounts, 0);
    if (bound === "client") return "client_buffers_full";
    return bound === "all" ? "buffers_full" : undefined;
  }

  /** Number of waiting frames. */
  private frames(): number {
    return (this.waiting?.length ?? 0) - this.head;
  }

  private characters(): number {
    return this.waitingBytes - this.frames() * bytesPerFrame;
  }

  private count(bytes: number): void {
    this.waitingBytes += bytes;
    this.options.fairQueue.queued.add(this.accounts, bytes);
  }

  private clear(): void {
    this.waiting = undefined;
    this.head = 0;
    this.count(-this.waitingBytes);
  }

  /**
   * The limit that keeps a frame from being handled at `at` (ms, monotonic). If there is none, takes the
   * frame's tokens. `isServed`: the decision of the fair queue while it serves this connection.
   */
  private limitFor({ length }: string, at: number, isServed?: boolean): Limit | undefined {
    const { framesPerSec, fairQueue } = this.options;
    if (framesPerSec === 0) return undefined;
    const isAdmitted = isServed ?? fairQueue.admits(this.connection, length, at);
    if (!isAdmitted) return "share";
    return this.pay(length, at) ? undefined : "rate";
  }

  /** Takes the tokens of a frame. Returns false when not even one token is left. */
  private pay(length: number, at: number): boolean {
    const { framesPerSec } = this.options;
    const earned = ((at - this.filledAt) * framesPerSec) / 1000;
    this.tokens = Math.min(framesPerSec * burstSeconds, this.tokens + earned);
    this.filledAt = at;
    if (this.tokens < almostOne) return false;
    // Large frames are paid for by the time they take.
    const isLong = length >= charactersPerToken && length <= largeFrameLength;
    this.tokens -= isLong ? 1 + Math.floor(length / charactersPerToken) : 1;
    return true;
  }

  /** Takes tokens for an expensive frame, in addition to its own. The balance may become negative. */
  charge(tokens: number): void {
    this.tokens -= tokens;
  }

  private handle(text: string, at: number): Handled {
    const { clock, fairQueue, framesPerSec } = this.options;
    const isCheap = at < fairQueue.calmUntil && text.length <= largeFrameLength;
    if (isCheap || framesPerSec === 0) return this.handler.handle(text);
    const startedAt = clock.monotonicMs();
    try {
      return this.handler.handle(text);
    } finally {
      fairQueue.took(this.connection, text.length, clock.monotonicMs() - startedAt);
    }
  }

  /** Hands no frame on until `done` and the frames under way are done. */
  private await(done?: unknown): void {
    this.busy = true;
    const all = Promise.allSettled([...(this.together ?? []), done]);
    this.together = undefined;
    this.togetherCharacters = 0;
    void all.then(() => {
      this.busy = false;
      this.serve();
    });
  }

  /** Lets later frames be handed on in the same turn, up to a limit. */
  private goOn({ mayOverlap }: UnderWay<unknown>, characters: number): void {
    this.together ??= [];
    this.together.push(mayOverlap);
    this.togetherCharacters += characters;
    const isFull = this.together.length === maxTogether;
    if (isFull || this.togetherCharacters >= this.options.wsMaxMsgBytes) this.await();
  }

  /** `until`: the fair queue serves this connection, up to this moment (ms, monotonic). */
  private handOn(until?: number): void {
    if (this.waiting === undefined) return;
    const first = this.head;
    // Handling a frame may discard the waiting ones.
    while (this.waiting && this.head < this.waiting.length && !this.busy) {
      if (this.state !== "open") return;
      const text = this.waiting[this.head] as string;
      const at = this.options.clock.monotonicMs();
      const isOneMore = at < (until ?? 0) && text.length <= largeFrameLength;
      const isServed = until === undefined ? undefined : this.head === first || isOneMore;
      const limit = this.limitFor(text, at, isServed);
      if (limit !== undefined) return this.waitFor(limit);
      this.head++;
      this.count(-text.length - bytesPerFrame);
      try {
        const done = this.handle(text, at);
        if (done instanceof Promise) this.await(done);
        else if (typeof done === "object") this.goOn(done, text.length);
      } catch (error) {
        // A frame that throws must not block the frames behind it.
        this.options.clock.after(0, () => this.serve());
        throw error;
      }
    }
    if (this.waiting === undefined || this.head < this.waiting.length) return;
    this.clear();
    this.options.fairQueue.caughtUp(this.connection);
    this.connection.resume(pauseReasons.inbox);
    this.connection.resume(pauseReasons.rate);
  }

  /** Continues with the waiting frames when the limit allows it. */
  private waitFor(limit: Limit): void {
    const { clock, fairQueue, framesPerSec } = this.options;
    if (limit === "share") return fairQueue.wait(this.connection);
    if (this.slowed) return;
    this.connection.pause(pauseReasons.rate);
    // At most 20 times a second, not for each token.
    const wanted = Math.max(1, framesPerSec / 20) - this.tokens;
    this.slowed = clock.after(Math.ceil((wanted * 1000) / framesPerSec), () => {
      this.slowed = undefined;
      this.serve();
    });
  }
}

import type { Clock } from "../base/clock.ts";
import type { ServerClose } from "../protocol/closes.ts";
import type { PeerSocket } from "./peer-socket.ts";

/**
 * A newcomer that sends nothing is sent nothing for this long, in ms. Some clients set their listener
 * only once their socket is open (npm `ws`): they lose a frame that they read together with the `101`.
 */
export const quietMs = 50;
/** The timer runs at most this often, in ms: a newcomer may wait that much longer. */
const timerStepMs = 5;
/** From this many waiting frames on, the sender is paused. */
const fullAtFrames = 32;
/** What a frame that waits takes beside its characters. */
const bytesPerFrame = 64;

/** What waits, in order, until its socket may be sent something. */
export class Quiet {
  /** Undefined: the place of a text that is not known yet. */
  private readonly texts: (string | undefined)[] = [];
  private unknown = 0;
  /** Of all that waits, as counted. */
  bytes = 0;
  /** The close that follows what waits. */
  close: ServerClose | undefined;

  /** `isHeard`: the client listens, and only texts that are not known yet are waited for. */
  constructor(public isHeard: boolean) {}

  add(text: string, bytes: number): void {
    this.texts.push(text);
    this.bytes += bytes + bytesPerFrame;
  }

  /** Keeps a place for a text. Answers what puts it there. */
  keepPlace(): (text: string) => void {
    const place = this.texts.push(undefined) - 1;
    this.unknown++;
    return (text) => {
      this.texts[place] = text;
      this.unknown--;
      this.bytes += Buffer.byteLength(text) + bytesPerFrame;
    };
  }

  /** Whether the sender of relayed frames should wait. */
  isFull(highMark: number): boolean {
    return this.texts.length >= fullAtFrames || this.bytes > highMark;
  }

  /** A close does not wait for a text that is not known yet. */
  get isOver(): boolean {
    return this.isHeard && (this.unknown === 0 || this.close !== undefined);
  }

  /** What can be sent in order. */
  known(): readonly string[] {
    const end = this.texts.indexOf(undefined);
    return (end === -1 ? this.texts : this.texts.slice(0, end)) as string[];
  }
}

/** Ends the quiet of sockets whose clients say nothing. All wait equally long: one timer serves all. */
export class QuietTimer {
  private waiting: PeerSocket[] = [];

  constructor(private readonly clock: Pick<Clock, "monotonicMs" | "after">) {}

  /** The socket has opened. */
  add(socket: PeerSocket): void {
    if (this.waiting.push(socket) === 1) this.wakeIn(quietMs);
  }

  private wakeIn(ms: number): void {
    this.clock.after(Math.max(timerStepMs, ms), () => this.wake());
  }

  private wake(): void {
    const before = this.clock.monotonicMs() - quietMs;
    const { waiting } = this;
    let due = 0;
    while (due < waiting.length && (waiting[due] as PeerSocket).openedAt <= before) due++;
    this.waiting = waiting.slice(due);
    const first = this.waiting[0];
    if (first !== undefined) this.wakeIn(first.openedAt - before);
    for (let i = 0; i < due; i++) (waiting[i] as PeerSocket).heard();
  }
}

import { type Account, partOf } from "../base/account.ts";
import type { Clock } from "../base/clock.ts";
import type { Ledger } from "../base/ledger.ts";
import { type PauseReason, pauseReasons } from "./context.ts";

/** An event loop turn is short up to this, ms. In a short turn all frames are handled at once. */
const turnMs = 4;
/** How long one connection in line is served at a time, ms. */
const visitMs = 0.1;
/** CPU time that may be saved up while idle, ms. Each client may save its share of it. */
const burstMs = 20;
/** A frame longer than this can take tens of ms to read (1 MiB of nested brackets: 33 ms). */
export const largeFrameLength = 16_384;
/** Share of CPU time for large frames, and for reading floods from connections that wait. */
const largeShare = 0.25;
/** CPU time for large frames that may be saved up while none come, ms. */
const largeBurstMs = 10;
/** CPU time of the runtime before the server sees a frame, ms: for each frame, and for each character. */
const receivingMs = { frame: 0.0005, character: 1 / 1_048_576 };
/**
 * The most that counts for handling a frame, ms: for each frame, and for each character. Deeply nested
 * JSON takes this much. Any longer time was spent on other processes or garbage collection.
 */
const handlingMs = { frame: 0.02, character: 0.000033 };
/** How long a connection stays busy after many of its frames had to wait, ms. */
const busyMs = 2_000;
/** At most this many waiting connections are read from in one turn. */
const readsATurn = 8;
/** How often the lines are checked for a connection that may go on, ms. */
const lookEveryMs = 2;

/** A connection, as the fair queue uses it. */
export interface Member {
  /** `share`: its client's. `before` and `after`: its neighbours there. All three are set by `FairQueue`. */
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  /** Its frames; undefined before its first frame. */
  inbox: Served | undefined;
  /** It is busy until then (ms, monotonic); infinite while many of its frames wait. */
  busyUntil: number;
  pause(reason: PauseReason): void;
  resume(reason: PauseReason): void;
}

export interface Served {
  /** Characters of the next frame; undefined while no frame waits. */
  readonly nextLength: number | undefined;
  /** Handles the next frame, and further ones until `until` (ms, monotonic) or a large one. */
  serve(until: number): void;
}

/**
 * The lines. `frames`: busy members with frames that wait. `read`: busy members that wait to be read from.
 * `quiet`: quiet members. `large`: members whose next frame is large.
 */
const waits = ["quiet", "frames", "read", "large"] as const;
type Wait = (typeof waits)[number];
type Lines = Readonly<Record<Wait, Set<Member | Share>>>;

/** Quiet connections have a separate share, so that a flood from their address does not use it up. */
type Kind = "quiet" | "busy";

function kindOf({ busyUntil }: Member, at: number): Kind {
  return at < busyUntil ? "busy" : "quiet";
}

function waitOf(member: Member, at: number): Wait {
  const next = member.inbox?.nextLength;
  if (next !== undefined && next > largeFrameLength) return "large";
  if (kindOf(member, at) === "quiet") return "quiet";
  return next === undefined ? "read" : "frames";
}

/** A leaky bucket of CPU time: `part` of the elapsed time drains from it. */
class Bucket {
  isHeld = false;
  private spentMs = 0;
  private paidAt = 0;

  constructor(
    /** Part of the time that may be spent. */
    private readonly part: number,
    /** How much may be spent at once, ms. */
    private readonly burst = burstMs * part,
  ) {}

  spend(ms: number, at: number): void {
    this.spentMs = Math.max(0, this.spentMs - (at - this.paidAt) * this.part) + ms;
    this.paidAt = at;
  }

  isOverdrawn(at: number): boolean {
    return this.spentMs - (at - this.paidAt) * this.part > this.burst;
  }
}

/** An account's share of the CPU time. A client's share has connections as members, others have shares. */
export class Share {
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  first: Member | Share | undefined;
  /** Members that wait, the longest wait first; undefined while no member waits. */
  lines: Lines | undefined;
  /** CPU time spent by each kind of its members; undefined before the first. */
  work: Readonly<Record<Kind, Bucket>> | undefined;

  constructor(
    readonly account: Account,
    /** Part of the time that each kind of its members may spend. */
    private readonly part: number,
  ) {}

  spend(kind: Kind, ms: number, at: number): void {
    this.work ??= { quiet: new Bucket(this.part), busy: new Bucket(this.part) };
    this.work[kind].spend(ms, at);
  }

  isOverdrawn(kind: Kind, at: number): boolean {
    return this.work?.[kind].isOverdrawn(at) === true;
  }

  /** Some of its members may be read from again. */
  letGo(): void {
    if (this.work) this.work.quiet.isHeld = this.work.busy.isHeld = false;
  }

  add(member: Member | Share): void {
    member.share = this;
    member.after = this.first;
    if (this.first) this.first.before = member;
    this.first = member;
  }

  remove(member: Member | Share): void {
    if (member.before) member.before.after = member.after;
    else this.first = member.after;
    if (member.after) member.after.before = member.before;
    member.share = undefined;
    member.before = undefined;
    member.after = undefined;
  }

  /** The next member to be served. The shares it belongs to move to the end of their lines. */
  next(wait: Wait, mayGoOn: (one: Member | Share) => boolean): Member | undefined {
    const line = this.lines?.[wait] ?? [];
    for (const one of line) {
      if (!mayGoOn(one)) continue;
      if (!(one instanceof Share)) return one;
      const member = one.next(wait, mayGoOn);
      if (member === undefined) continue;
      this.lines?.[wait].delete(one);
      this.lines?.[wait].add(one);
      return member;
    }
    return undefined;
  }
}

/**
 * Shares CPU time among clients, however many connections each has. In a short turn of the event loop
 * every frame is handled as it comes. In a long turn, and while any connection waits, CPU time is counted.
 * If a client or site has used up its share (account.ts), the server stops reading from its connections,
 * and they wait in line. They are served round-robin: by site, then customer, client and connection.
 */
export class FairQueue {
  /** Frames of up to 16 KiB that come before this (ms, monotonic) are handled at once. */
  calmUntil = Number.NEGATIVE_INFINITY;
  /** CPU time of all large frames so far, ms. */
  largeMs = 0;
  private readonly large = new Bucket(largeShare, largeBurstMs);
  private readonly root = new Share({ key: "", kind: "site" }, Number.MAX_VALUE);
  private readonly shares = new Map<string, Share>();
  /** `turnOver` is called at the end of this turn. */
  private awaitsTurnOver = false;
  private awaitsLook = false;
  /** When this turn began to read from waiting connections; undefined if it has not. */
  private readsSince: number | undefined;
  private reads = 0;
  /** When the next waiting connection may be read from. */
  private readsNextAt = 0;

  constructor(
    private readonly clock: Pick<Clock, "monotonicMs" | "after">,
    /** Bytes of frames that wait. */
    readonly queued: Ledger,
    /** Calls back when this turn of the event loop has handled everything it has read. */
    private readonly afterTurn: (run: () => void) => void = (run) => void setImmediate(run),
  ) {}

  /** How many sites wait; a client without a site counts as one. `wait`: only in this line. */
  waiting(wait?: Wait): number {
    const { lines } = this.root;
    if (lines === undefined) return 0;
    if (wait !== undefined) return lines[wait].size;
    return new Set(waits.flatMap((wait) => [...lines[wait]])).size;
  }

  /** Adds an open connection. */
  join(member: Member, accounts: readonly Account[]): void {
    let share = this.root;
    for (let i = accounts.length - 1; i >= 0 && this.queued.hasShares; i--) {
      const account = accounts[i] as Account;
      let own = this.shares.get(account.key);
      if (own === undefined) {
        own = new Share(account, 1 / partOf(account.kind));
        this.shares.set(account.key, own);
        share.add(own);
      }
      own.letGo();
      share = own;
    }
    share.add(member);
  }

  /** Removes a closed connection. */
  part(member: Member): void {
    this.leave(member);
    let { share } = member;
    share?.remove(member);
    while (share?.share !== undefined && share.first === undefined) {
      const above: Share = share.share;
      this.shares.delete(share.account.key);
      above.remove(share);
      share = above;
    }
  }

  /** Whether a frame of `length` characters that came at `at` (ms, monotonic) may be handled now. */
  admits(member: Member, length: number, at: number): boolean {
    const isWithin = at < this.calmUntil || this.isWithinShare(member, at);
    if (length <= largeFrameLength) return isWithin;
    return isWithin && this.waiting("large") === 0 && !this.large.isOverdrawn(at);
  }

  /** Counts the time of handling a frame, in ms. Small frames are not reported before `calmUntil`. */
  took(member: Member, length: number, ms: number): void {
    const at = this.clock.monotonicMs();
    if (length > largeFrameLength) {
      const allMs = ms + length * receivingMs.character;
      this.largeMs += allMs;
      return this.large.spend(allMs, at);
    }
    const most = handlingMs.frame + length * handlingMs.character;
    this.spend(member, kindOf(member, at), Math.min(ms, most), at);
  }

  /** A frame was queued at `at` (ms, monotonic). `isMuch`: many of the member's frames wait now. */
  received(member: Member, length: number, at: number, isMuch: boolean): void {
    if (isMuch) member.busyUntil = Number.POSITIVE_INFINITY;
    if (at < this.calmUntil) return;
    const ms = receivingMs.frame + length * receivingMs.character;
    // Counted for both kinds, since this frame may have changed the member's kind.
    for (const kind of ["quiet", "busy"] as const) this.spend(member, kind, ms, at);
  }

  /** No frame of the member waits any more. */
  caughtUp(member: Member): void {
    if (member.busyUntil === 0) return;
    member.busyUntil = Math.min(member.busyUntil, this.clock.monotonicMs() + busyMs);
  }

  /** Counts a ping or pong. */
  control(member: Member, at: number): void {
    if (at < this.calmUntil) return;
    this.spend(member, kindOf(member, at), receivingMs.frame, at);
    this.isWithinShare(member, at);
  }

  /** Whether all shares of the member have time left. If not, their connections are no longer read from. */
  isWithinShare(member: Member, at: number): boolean {
    if (this.root.lines === undefined && !this.awaitsTurnOver) {
      // The start of this turn is unknown. It counts as calm from now on.
      this.callAfterTurn();
      this.calmUntil = at + turnMs;
      return true;
    }
    let isWithin = true;
    const kind = kindOf(member, at);
    for (let share = member.share; share; share = share.share) {
      if (!share.isOverdrawn(kind, at)) continue;
      isWithin = false;
      if (share.work?.[kind].isHeld === false) this.hold(share, kind, at);
    }
    return isWithin;
  }

  /** Stops reading from the member and puts it in line, until none of its frames wait. */
  wait(member: Member): void {
    member.pause(pauseReasons.rate);
    const wait = waitOf(member, this.clock.monotonicMs());
    const { share = this.root } = member;
    if (share.lines?.[wait].has(member)) return;
    this.leave(member);
    let one: Member | Share = member;
    for (let of: Share | undefined = share; of; of = of.share) {
      of.lines ??= { frames: new Set(), large: new Set(), read: new Set(), quiet: new Set() };
      of.lines[wait].add(one);
      one = of;
    }
    this.calmUntil = Number.NEGATIVE_INFINITY;
    if (!this.awaitsTurnOver) this.callAfterTurn();
  }

  private leave(member: Member): void {
    let one: Member | Share = member;
    for (let of: Share | undefined = member.share ?? this.root; of?.lines; of = of.share) {
      const { lines } = of;
      for (const wait of waits) {
        const waitsOn = one instanceof Share && one.lines && one.lines[wait].size > 0;
        if (!waitsOn) lines[wait].delete(one);
      }
      if (waits.every((wait) => lines[wait].size === 0)) {
        of.lines = undefined;
        of.letGo();
      }
      one = of;
    }
  }

  /** Stops reading from the share's members of this kind. */
  private hold(share: Share, kind: Kind, at: number): void {
    if (share.work) share.work[kind].isHeld = true;
    for (let one = share.first; one; one = one.after) {
      if (one instanceof Share) this.hold(one, kind, at);
      else if (kindOf(one, at) === kind) this.wait(one);
    }
  }

  private spend(member: Member, kind: Kind, ms: number, at: number): void {
    for (let share = member.share; share; share = share.share) share.spend(kind, ms, at);
  }

  private callAfterTurn(): void {
    this.awaitsTurnOver = true;
    this.afterTurn(() => this.turnOver());
  }

  private turnOver(): void {
    const at = this.clock.monotonicMs();
    if (this.readsSince !== undefined) this.readFor(at - this.readsSince, at);
    this.awaitsTurnOver = false;
    let served = false;
    try {
      served = this.serve(at);
    } finally {
      if (this.root.lines === undefined) this.calmUntil = this.clock.monotonicMs() + turnMs;
      else if (served && !this.awaitsTurnOver) this.callAfterTurn();
      else this.lookAgain();
    }
  }

  /** Called after a turn in which waiting connections were read from. After a long turn, others come first. */
  private readFor(ms: number, at: number): void {
    this.readsSince = undefined;
    this.reads = 0;
    if (ms > turnMs) this.readsNextAt = at + ms * (1 / largeShare - 1);
  }

  private lookAgain(): void {
    if (this.awaitsLook) return;
    this.awaitsLook = true;
    this.clock.after(lookEveryMs, () => {
      this.awaitsLook = false;
      if (!this.awaitsTurnOver && this.root.lines !== undefined) this.callAfterTurn();
    });
  }

  /** Serves members in line. Returns whether it served any. */
  private serve(from: number): boolean {
    let served = false;
    for (let at = from; at < from + turnMs; at = this.clock.monotonicMs()) {
      const member = this.next("quiet", at) ?? this.next("frames", at);
      if (member === undefined) break;
      this.visit(member, at);
      served = true;
    }
    const at = this.clock.monotonicMs();
    const large = this.large.isOverdrawn(at) ? undefined : this.next("large", at);
    const read = this.next("read", at);
    if (large) this.visit(large, at);
    if (read) this.visit(read, this.clock.monotonicMs());
    return served || large !== undefined || read !== undefined;
  }

  private next(wait: Wait, at: number): Member | undefined {
    const kind = wait === "quiet" ? "quiet" : "busy";
    return this.root.next(wait, (one) => {
      if (!(one instanceof Share))
        return one.inbox?.nextLength !== undefined || this.mayRead(one, wait, at);
      // Large frames have a limit of their own.
      return wait === "large" || !one.isOverdrawn(kind, at);
    });
  }

  /**
   * Whether a waiting connection may be read from. How much it sends shows only afterwards. So few are read
   * from in one turn, and none for a while after a long turn. If much is queued for their client, only
   * connections known to be quiet are read from.
   */
  private mayRead(member: Member, wait: Wait, at: number): boolean {
    if (at < this.readsNextAt || this.reads === readsATurn) return false;
    if (wait === "quiet" && member.inbox !== undefined) return true;
    for (let { share } = member; share; share = share.share) {
      if (this.queued.partUsed(share.account) > 0.5) return false;
    }
    return true;
  }

  /** Serves a member and takes it out of its line. If it still has to wait, it goes to the end. */
  private visit(member: Member, at: number): void {
    this.leave(member);
    if (member.inbox?.nextLength !== undefined) member.inbox.serve(at + visitMs);
    else {
      this.readsSince ??= at;
      this.reads++;
      member.resume(pauseReasons.rate);
    }
    if (member.inbox?.nextLength !== undefined) return;
    for (let { share } = member; share; share = share.share) share.letGo();
  }
}

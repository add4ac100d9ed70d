import { type Account, partOf } from "../base/account.ts";
import type { Clock } from "../base/clock.ts";
import type { Ledger } from "../base/ledger.ts";
import { type PauseReason, pauseReasons } from "./context.ts";

/** A turn of the event loop is short up to this, ms: so long, all frames are handled as they come. */
const turnMs = 4;
/** One visit to a connection in line, ms: its client's other connections wait for it. */
const visitMs = 0.1;
/** Work that may be saved up while idle, ms. Each client may save its share of it. */
const burstMs = 20;
/** A frame longer than this can take tens of ms to read (1 MiB of nested brackets: 33 ms). */
export const largeFrameLength = 16_384;
/** Share of CPU time for large frames, and for reading floods from connections that wait. */
const largeShare = 0.25;
/** Time that may be saved up while no large frame comes, ms. */
const largeBurstMs = 10;
/** What the runtime spends on a frame, and on a character of it, before the server sees it, ms. */
const receivingMs = { frame: 0.0005, character: 1 / 1_048_576 };
/**
 * What handling a frame, and a character of it, counts at most, ms: it is what deep JSON takes. More than
 * that was taken by the machine's other work, or by garbage of others.
 */
const handlingMs = { frame: 0.02, character: 0.000033 };
/** A connection of which much waited counts as busy for so long after that, ms. */
const busyMs = 2_000;
/** This many of the connections that wait to be read from are read in one turn. */
const readsATurn = 8;
/** How often it looks whether somebody in line may go on, ms. */
const lookEveryMs = 2;

/** A connection, as what shares the work sees it. */
export interface Member {
  /** Its client's share, its neighbours there: kept by `FairQueue`. */
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  /** Its frames, once there was one. */
  inbox: Served | undefined;
  /** Until then (ms, monotonic) it counts as one that sends much; infinite while much of it waits. */
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
 * The lines. Busy members wait until their frames are handled, or until they are read from. Quiet ones,
 * and those whose next frame is large, have lines of their own.
 */
const waits = ["quiet", "frames", "read", "large"] as const;
type Wait = (typeof waits)[number];
type Lines = Readonly<Record<Wait, Set<Member | Share>>>;

/** Connections that send little have a share apart, so that a flood from their address leaves it to them. */
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

/** Work, less what a part of the time since then has paid for. */
class Bucket {
  isHeld = false;
  private spentMs = 0;
  private paidAt = 0;

  constructor(
    /** What is paid for: this part of the time, … */
    private readonly part: number,
    /** … and so much at once, ms. */
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

/** What an account has of the work. Members of a client's are connections, of a site's its clients'. */
export class Share {
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  first: Member | Share | undefined;
  /** Members that wait, the longest wait first; undefined while no member waits. */
  lines: Lines | undefined;
  /** Of each kind of its members; undefined until something was counted. */
  work: Readonly<Record<Kind, Bucket>> | undefined;

  constructor(
    readonly account: Account,
    /** Part of the time that each kind of its members has. */
    private readonly part: number,
  ) {}

  spend(kind: Kind, ms: number, at: number): void {
    this.work ??= { quiet: new Bucket(this.part), busy: new Bucket(this.part) };
    this.work[kind].spend(ms, at);
  }

  isOverdrawn(kind: Kind, at: number): boolean {
    return this.work?.[kind].isOverdrawn(at) === true;
  }

  /** Not all of its members are held any more. */
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

  /** The next to be served: it and the accounts it belongs to stand last in their lines now. */
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
 * Shares the time that frames take among clients, however many connections each has. In a short turn
 * of the event loop all is handled as it comes. In a long one, and while anyone waits, time is counted:
 * a client or site that has had its share (account.ts) is not read from, and its connections wait in
 * line. They are served by site, then by customer, client and connection, each in turn.
 */
export class FairQueue {
  /** Frames of up to 16 KiB that come before this (ms, monotonic) are handled at once. */
  calmUntil = Number.NEGATIVE_INFINITY;
  /** ms that large frames have taken so far. */
  largeMs = 0;
  private readonly large = new Bucket(largeShare, largeBurstMs);
  private readonly root = new Share({ key: "", kind: "site" }, Number.MAX_VALUE);
  private readonly shares = new Map<string, Share>();
  /** `turnOver` is called at the end of this turn. */
  private awaitsTurnOver = false;
  private awaitsLook = false;
  /** When reading from one that waits began; undefined in turns without. */
  private readsSince: number | undefined;
  private reads = 0;
  /** When the next one may be read from. */
  private readsNextAt = 0;

  constructor(
    private readonly clock: Pick<Clock, "monotonicMs" | "after">,
    /** Bytes of frames that wait. */
    readonly queued: Ledger,
    /** Calls back when everything that this turn of the event loop has read was handled. */
    private readonly afterTurn: (run: () => void) => void = (run) => void setImmediate(run),
  ) {}

  /** Clients, or sites where they have one, that wait; `wait`: for this alone. */
  waiting(wait?: Wait): number {
    const { lines } = this.root;
    if (lines === undefined) return 0;
    if (wait !== undefined) return lines[wait].size;
    return new Set(waits.flatMap((wait) => [...lines[wait]])).size;
  }

  /** A connection of this client is open. */
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

  /** It is closed. */
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

  /** Whether a frame of `length` characters that comes at `at` (ms, monotonic) may be handled now. */
  admits(member: Member, length: number, at: number): boolean {
    const isWithin = at < this.calmUntil || this.isWithinShare(member, at);
    if (length <= largeFrameLength) return isWithin;
    return isWithin && this.waiting("large") === 0 && !this.large.isOverdrawn(at);
  }

  /** Counts what handling a frame has taken, in ms: of small ones, only while not all is calm. */
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

  /** A frame was put in line at `at` (ms, monotonic); with it, much of the member waits. */
  received(member: Member, length: number, at: number, isMuch: boolean): void {
    if (isMuch) member.busyUntil = Number.POSITIVE_INFINITY;
    if (at < this.calmUntil) return;
    const ms = receivingMs.frame + length * receivingMs.character;
    // Counted for both kinds: with this frame the member may have become the other one.
    for (const kind of ["quiet", "busy"] as const) this.spend(member, kind, ms, at);
  }

  /** Nothing of the member waits any more. */
  caughtUp(member: Member): void {
    if (member.busyUntil === 0) return;
    member.busyUntil = Math.min(member.busyUntil, this.clock.monotonicMs() + busyMs);
  }

  /** A ping or pong came. */
  control(member: Member, at: number): void {
    if (at < this.calmUntil) return;
    this.spend(member, kindOf(member, at), receivingMs.frame, at);
    this.isWithinShare(member, at);
  }

  /** Whether its client has some of its share left; if not, its connections are not read from. */
  isWithinShare(member: Member, at: number): boolean {
    if (this.root.lines === undefined && !this.awaitsTurnOver) {
      // It is a while since the last look: this turn may have begun at any moment since.
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

  /** From now on the member is not read from, and served in its turn until nothing of it waits. */
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

  /** Stops reading from its members of this kind. */
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

  /** The end of a turn in which a waiting connection was read from. After a long one, others come first. */
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

  /** Answers whether there was anyone to be served. */
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
   * Few are read in one turn, and none after a long one: what each brings shows only then. Of a client of
   * which much is queued, only those that are known to send little.
   */
  private mayRead(member: Member, wait: Wait, at: number): boolean {
    if (at < this.readsNextAt || this.reads === readsATurn) return false;
    if (wait === "quiet" && member.inbox !== undefined) return true;
    for (let { share } = member; share; share = share.share) {
      if (this.queued.partUsed(share.account) > 0.5) return false;
    }
    return true;
  }

  /** Takes the member out of its line; it comes back, to the end, if something of it waits then. */
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

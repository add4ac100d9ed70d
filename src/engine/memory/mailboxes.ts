import type { Account } from "../../base/account.ts";
import type { Side } from "../../base/ids.ts";
import {
  type EngineLimits,
  type Mail,
  type Mailboxes,
  type NoSpace,
  rememberedIds,
  type Seat,
} from "../engine.ts";
import { type Budget, costOf } from "./budget.ts";
import { type MemoryState, ownSeat, type Room } from "./rooms.ts";

export function memoryMailboxes({ limits, budget }: MemoryState): Mailboxes {
  function mailbox(room: Room, side: Side): Mailbox {
    room[side].mailbox ??= new Mailbox(limits, budget);
    return room[side].mailbox;
  }

  /** The seat's own mailbox, unless there is none or the seat is another's now. */
  function mine(seat: Seat): Mailbox | undefined {
    const { isHeld, room, side } = ownSeat(seat);
    return isHeld ? room[side].mailbox : undefined;
  }

  return {
    append(seat, to, { payload, id, strict }) {
      const { isHeld, room, side, accounts } = ownSeat(seat);
      const sender = room[side];
      if (!isHeld) return { outcome: "replaced" };
      const known = id === undefined ? undefined : sender.ids?.seqOf(id);
      if (known !== undefined) return { outcome: "stored", seq: known };
      const more = id === undefined ? 0 : costOf(id);
      const seq = mailbox(room, to).append(side, payload, { strict, accounts, more });
      if (typeof seq === "string") return { outcome: seq };
      if (id !== undefined) {
        sender.ids ??= new RememberedIds(budget);
        sender.ids.remember(id, seq, accounts);
      }
      room[to].seat?.listener.mailStored();
      return { outcome: "stored", seq };
    },
    read: (seat, after, maxBytes) => mine(seat)?.read(after, maxBytes) ?? [],
    ack: (seat, upTo) => mine(seat)?.ack(upTo),
    hello(seat, upTo) {
      const { isHeld, room, side } = ownSeat(seat);
      if (!isHeld) return { moved: 0, before: 0 };
      if (upTo === 0) return { moved: 0, before: room[side].mailbox?.before ?? 0 };
      const box = mailbox(room, side);
      const moved = upTo > box.sent ? box.renumber(upTo) : 0;
      if (moved === 0) box.ack(upTo);
      return { moved, before: box.before };
    },
  };
}

/** Mail for one side of one room, in order. Seqs `before` + 1 … `last` are stored. */
export class Mailbox {
  /** The seq before the oldest stored mail: everything up to it was acknowledged. */
  before = 0;
  /** The highest seq given out. */
  last = 0;
  /** The highest seq that some connection can have processed. */
  sent = 0;
  /** Of payloads, in UTF-8. */
  private bytes = 0;
  /** A strict sender met a full box: refuse it until the box is half empty. */
  private refusing = false;
  private mails: Stored[] = [];
  /** Index of the oldest stored mail; what stands before it is gone. */
  private head = 0;

  constructor(
    private readonly limits: EngineLimits,
    private readonly budget: Budget,
  ) {}

  static restore(saved: SavedMailbox, limits: EngineLimits, budget: Budget): Mailbox {
    const box = new Mailbox(limits, budget);
    box.before = saved.before;
    box.last = saved.before;
    box.sent = saved.sent;
    for (const { from, payload, accounts } of saved.mails) {
      box.store(from, payload, Buffer.byteLength(payload), accounts);
    }
    box.refusing = saved.refusing;
    return box;
  }

  save(): SavedMailbox {
    const mails = this.mails
      .slice(this.head)
      .map(({ from, payload, accounts }) => ({ from, payload, accounts: [...accounts] }));
    return { before: this.before, sent: this.sent, refusing: this.refusing, mails };
  }

  get size(): number {
    return this.last - this.before;
  }

  /** The new mail's seq, or why there is no space for it and for `more` bytes beside it. */
  append(
    from: Side,
    payload: string,
    { strict, accounts, more }: { strict: boolean; accounts: readonly Account[]; more: number },
  ): number | NoSpace["outcome"] {
    if (this.refusing && this.halfEmpty()) this.refusing = false;
    if (this.refusing && strict) return "full";
    const bytes = Buffer.byteLength(payload);
    const fits =
      this.size < this.limits.mailboxMaxMails && this.bytes + bytes <= this.limits.mailboxMaxBytes;
    const against = fits ? this.budget.against(costOf(payload, bytes) + more, accounts) : "full";
    if (against !== undefined) {
      this.refusing ||= strict;
      return against;
    }
    return this.store(from, payload, bytes, accounts);
  }

  read(after: number, maxBytes: number): Mail[] {
    const batch: Mail[] = [];
    let bytes = 0;
    for (let seq = Math.max(after, this.before) + 1; seq <= this.last; seq++) {
      const mail = this.at(seq);
      bytes += mail.bytes;
      if (bytes > maxBytes && batch.length > 0) break;
      batch.push({ seq, from: mail.from, payload: mail.payload });
      this.sent = Math.max(this.sent, seq);
    }
    return batch;
  }

  ack(upTo: number): void {
    const end = Math.min(upTo, this.last);
    for (; this.before < end; this.before++) {
      this.giveBack(this.at(this.before + 1));
      this.mails[this.head++] = gone;
    }
    this.sent = Math.max(this.sent, this.before);
    if (this.head > 32 && this.head * 2 > this.mails.length) {
      this.mails = this.mails.slice(this.head);
      this.head = 0;
    }
  }

  /** Numbers what is stored from `upTo` + 1 on. Answers how far the seqs moved. */
  renumber(upTo: number): number {
    const moved = upTo - this.before;
    this.before += moved;
    this.last += moved;
    this.sent = upTo;
    return moved;
  }

  /** Gives its bytes back to the budget; the box is not to be used afterwards. */
  discard(): void {
    for (let seq = this.before + 1; seq <= this.last; seq++) this.giveBack(this.at(seq));
  }

  private store(from: Side, payload: string, bytes: number, accounts: readonly Account[]): number {
    this.budget.take("mail", costOf(payload, bytes), accounts);
    this.bytes += bytes;
    this.mails.push({ from, payload, bytes, accounts });
    return ++this.last;
  }

  private giveBack({ payload, bytes, accounts }: Stored): void {
    this.bytes -= bytes;
    this.budget.take("mail", -costOf(payload, bytes), accounts);
  }

  private halfEmpty(): boolean {
    const { mailboxMaxMails, mailboxMaxBytes } = this.limits;
    return this.size <= mailboxMaxMails / 2 && this.bytes <= mailboxMaxBytes / 2;
  }

  private at(seq: number): Stored {
    return this.mails[this.head + seq - this.before - 1] as Stored;
  }
}

interface SavedMailbox {
  readonly before: number;
  readonly sent: number;
  readonly refusing: boolean;
  readonly mails: {
    readonly from: Side;
    readonly payload: string;
    readonly accounts: Account[];
  }[];
}

interface Stored {
  readonly from: Side;
  readonly payload: string;
  readonly bytes: number;
  /** To whom it counts. */
  readonly accounts: readonly Account[];
}

const gone: Stored = { from: "A", payload: "", bytes: 0, accounts: [] };

/**
 * The ids a side has put on its last mails, with the seqs they were given. They count to whoever
 * sent the last of them.
 */
export class RememberedIds {
  private readonly seqs = new Map<string, number>();
  private cost = 0;
  accounts: readonly Account[] = [];

  constructor(private readonly budget: Budget) {}

  save(): [string, number][] {
    return [...this.seqs];
  }

  seqOf(id: string): number | undefined {
    return this.seqs.get(id);
  }

  remember(id: string, seq: number, accounts: readonly Account[]): void {
    this.seqs.set(id, seq);
    let cost = this.cost + costOf(id);
    if (this.seqs.size > rememberedIds) {
      const [oldest = ""] = this.seqs.keys();
      this.seqs.delete(oldest);
      cost -= costOf(oldest);
    }
    this.discard();
    this.cost = cost;
    this.accounts = accounts;
    this.budget.take("ids", cost, accounts);
  }

  /** Gives their bytes back to the budget; they are not to be used afterwards. */
  discard(): void {
    this.budget.take("ids", -this.cost, this.accounts);
  }
}

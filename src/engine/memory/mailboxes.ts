import type { Side } from "../../base/ids.ts";
import type { EngineLimits, Mailboxes, Seat } from "../engine.ts";
import { type Budget, costOf } from "./budget.ts";
import { Mailbox, RememberedIds } from "./mailbox.ts";
import { ownSeat, type Room } from "./rooms.ts";

export function memoryMailboxes(limits: EngineLimits, budget: Budget): Mailboxes {
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

import type { Engine } from "../engine.ts";
import { Budget } from "./budget.ts";
import { memoryCodes } from "./codes.ts";
import { memoryMailboxes } from "./mailboxes.ts";
import { memoryRelay } from "./relay.ts";
import { type MemoryState, ownSeat, roomRegistry } from "./rooms.ts";
import { memorySeats } from "./seats.ts";
import { restoreRecord, type StateRecord, takeSnapshot } from "./snapshot.ts";

export interface MemoryEngine extends Engine {
  /** What a successor needs to go on, once every seat is given up; nothing may change meanwhile. */
  snapshot(): Iterable<StateRecord>;
  /** Takes over a record of a predecessor's, in their order, before anything else is asked. */
  restore(record: StateRecord): void;
}

/** State in the Maps of one process. Every verb answers in the same turn. */
export function memoryEngine({
  now,
  limits,
  dropped,
}: Pick<MemoryState, "now" | "limits" | "dropped">): MemoryEngine {
  const codes = memoryCodes(now, limits.redeemWindowMs);
  const rooms = roomRegistry(now, limits, codes, dropped);
  const budget = new Budget(limits.mailTotalBytes);
  const state: MemoryState = { now, limits, dropped, codes, rooms, budget };
  const relay = memoryRelay(state);

  return {
    codes,
    rooms: {
      establish(seat) {
        const { isHeld, room } = ownSeat(seat);
        if (room.established || !isHeld) return undefined;
        room.established = true;
        return now() - room.startedAt;
      },
      allowsIce(appId, side, mustBeRedeemed) {
        const room = rooms.find(appId);
        if (room?.[side].seat === undefined) return "no_seat";
        return mustBeRedeemed && room.code?.state !== "used" ? "not_redeemed" : "granted";
      },
    },
    seats: memorySeats(state),
    relay,
    mailboxes: memoryMailboxes(state),
    now,
    ready: () => undefined,
    warning: () => undefined,
    sweep() {
      codes.sweep();
      rooms.sweep();
      relay.sweep();
    },
    sizes() {
      let peers = 0;
      let mailboxes = 0;
      let mails = 0;
      let heldFrames = 0;
      for (const room of rooms.all.values()) {
        for (const place of [room.A, room.B]) {
          if (place.seat) peers++;
          heldFrames += place.hold?.size ?? 0;
          if (place.mailbox === undefined) continue;
          mailboxes++;
          mails += place.mailbox.size;
        }
      }
      return {
        rooms: rooms.all.size,
        peers,
        ...codes.sizes(),
        mailboxes,
        mails,
        mailBytes: budget.used.mail,
        heldFrames,
        heldBytes: budget.used.held,
        idBytes: budget.used.ids,
        ringBytes: 0,
      };
    },
    close: () => Promise.resolve(),
    snapshot: () => takeSnapshot(state),
    restore: (record) => restoreRecord(record, state),
  };
}

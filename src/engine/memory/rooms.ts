import type { Account } from "../../base/account.ts";
import type { AppId } from "../../base/ids.ts";
import type { EngineLimits, NoSpace, Seat, SeatListener, Waiter } from "../engine.ts";
import { type Budget, Shares } from "./budget.ts";
import type { CodeRecord, MemoryCodes } from "./codes.ts";
import type { Mailbox, RememberedIds } from "./mailboxes.ts";
import type { Hold } from "./relay.ts";
import type { TakeoverGuard } from "./takeover-guard.ts";

/**
 * A seat as memory keeps it, with references to all that a frame needs. Looking them up through the
 * room missed the processor's cache each time: 7 % of relaying in 2,000 rooms.
 */
export interface MemorySeat extends Seat {
  readonly room: Room;
  readonly sid: string;
  readonly accounts: readonly Account[];
  readonly listener: SeatListener;
  /** Frames go straight to the listener; before that they are held. */
  started: boolean;
  /** It is its place's: it was neither left nor taken over. */
  isHeld: boolean;
  /** The other side's that is held. */
  peer: MemorySeat | undefined;
}

/** Only seats that this engine's `take` gave out come back to it. */
export function ownSeat(seat: Seat): MemorySeat {
  return seat as MemorySeat;
}

/** One side of a room, with or without an occupant. */
export interface Place {
  seat: MemorySeat | undefined;
  /** The last occupant's. */
  sid: string;
  /** When it was given up, ms; undefined while taken or never seen. */
  leftAt: number | undefined;
  hold: Hold | undefined;
  mailbox: Mailbox | undefined;
  /** Ids on mail that this side has sent. */
  ids: RememberedIds | undefined;
  waiter: Waiter | undefined;
  /** Newcomers that have waited for this occupant. */
  waited: number;
  guard: TakeoverGuard | undefined;
}

export interface Room {
  readonly appId: AppId;
  startedAt: number;
  readonly code: CodeRecord | undefined;
  /** The accounts the room counts to; none when it was minted here. */
  accounts: readonly Account[];
  readonly A: Place;
  readonly B: Place;
  tokens: number;
  paired: boolean;
  established: boolean;
  /** When the last side left, ms; undefined while a side is seated. */
  emptyAt: number | undefined;
}

/** What the parts of one engine share. */
export interface MemoryState {
  /** ms since the epoch; never goes back. The engine knows no other time. */
  readonly now: () => number;
  readonly limits: EngineLimits;
  /** Called for everything that was accepted and then given up. */
  readonly dropped: Dropped;
  readonly codes: MemoryCodes;
  readonly rooms: RoomRegistry;
  readonly budget: Budget;
}

type Dropped = (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;

export type RoomRegistry = ReturnType<typeof roomRegistry>;

/** Where space is short, rooms whose time is over are looked for this often, not at each refusal. */
const noticedAfterMs = 1_000;

/** Which rooms there are, and how long an empty one is remembered. */
export function roomRegistry(
  now: () => number,
  limits: EngineLimits,
  codes: MemoryCodes,
  dropped: Dropped,
) {
  const all: Map<AppId, Room> = new Map();
  /** Empty rooms that hold nothing: the first to give way when space is short. */
  const bare = new Map<AppId, Room>();
  /** Empty rooms in which mail waits. */
  const withMail = new Map<AppId, Room>();
  const maxUnminted = Math.floor(limits.maxRooms / 2);
  /** Of rooms that were not minted here. */
  const shares = new Shares(maxUnminted);
  let sweptAt = Number.NEGATIVE_INFINITY;

  function overAt(room: Room): number {
    if (room.emptyAt === undefined) return Number.POSITIVE_INFINITY;
    const kept = mailWaits(room) || codeKeeps(room.code, now());
    return room.emptyAt + (kept ? limits.roomTtlMs : limits.relayHoldMs);
  }

  function forget(room: Room): void {
    all.delete(room.appId);
    bare.delete(room.appId);
    withMail.delete(room.appId);
    shares.take(-1, room.accounts);
    for (const place of [room.A, room.B]) {
      const held = place.hold?.clear() ?? 0;
      if (held > 0) dropped("hold_expired", held);
      const mails = place.mailbox?.size ?? 0;
      if (mails > 0) dropped("room_forgotten", mails);
      place.mailbox?.discard();
      place.ids?.discard();
    }
  }

  /** The room, unless it does not exist or its time is over. */
  function find(appId: AppId): Room | undefined {
    const room = all.get(appId);
    if (room === undefined || overAt(room) > now()) return room;
    forget(room);
    return undefined;
  }

  /** Rooms that may exist once this one does: those of minted codes are let in up to the end. */
  function maxRooms(code: CodeRecord | undefined): number {
    return code ? limits.maxRooms : maxUnminted;
  }

  /** Whether there is space for one more. */
  function spaceFor(
    code: CodeRecord | undefined,
    accounts: readonly Account[],
  ): "admitted" | NoSpace["outcome"] {
    const max = maxRooms(code);
    const isFull = () => all.size - bare.size >= max;
    if (isFull()) sweepIfDue();
    if (isFull()) return "full";
    if (code !== undefined || shares.allow(1, accounts)) return "admitted";
    sweepIfDue();
    return shares.allow(1, accounts) ? "admitted" : "share_full";
  }

  function sweepIfDue(): void {
    if (now() - sweptAt >= noticedAfterMs || now() < sweptAt) sweep();
  }

  function sweep(): void {
    const at = now();
    sweptAt = at;
    for (const rooms of [bare, withMail]) {
      for (const room of rooms.values()) if (overAt(room) <= at) forget(room);
    }
  }

  return {
    all: all as ReadonlyMap<AppId, Room>,
    find,
    sweep,
    create(appId: AppId, accounts: readonly Account[]): Room | NoSpace {
      const code = codes.ofRoom(appId);
      const max = maxRooms(code);
      const space = spaceFor(code, accounts);
      if (space !== "admitted") return { outcome: space };
      if (all.size >= max) {
        for (const room of bare.values()) {
          if (all.size < max) break;
          forget(room);
        }
      }
      const room = newRoom(appId, now(), code);
      if (code === undefined) room.accounts = accounts;
      shares.take(1, room.accounts);
      all.set(appId, room);
      return room;
    },
    /** An empty room as `fill` makes it, unless its time is over. Codes have to be there before. */
    restore(appId: AppId, fill: (room: Room) => void): void {
      const room = newRoom(appId, now(), codes.ofRoom(appId));
      fill(room);
      shares.take(1, room.accounts);
      all.set(appId, room);
      if (overAt(room) <= now()) forget(room);
      else (mailWaits(room) ? withMail : bare).set(appId, room);
    },
    /** A room's first side sits down again. */
    occupied(room: Room): void {
      if (room.emptyAt === undefined) return;
      room.emptyAt = undefined;
      bare.delete(room.appId);
      withMail.delete(room.appId);
    },
    /** A room's last side has left. */
    emptied(room: Room): void {
      room.emptyAt = now();
      if (overAt(room) <= now()) forget(room);
      else (mailWaits(room) ? withMail : bare).set(room.appId, room);
    },
  };
}

function newRoom(appId: AppId, startedAt: number, code: CodeRecord | undefined): Room {
  return {
    appId,
    startedAt,
    code,
    accounts: [],
    A: newPlace(),
    B: newPlace(),
    tokens: 0,
    paired: false,
    established: false,
    emptyAt: undefined,
  };
}

function newPlace(): Place {
  return {
    seat: undefined,
    sid: "",
    leftAt: undefined,
    hold: undefined,
    mailbox: undefined,
    ids: undefined,
    waiter: undefined,
    waited: 0,
    guard: undefined,
  };
}

/** Whether the code that minted the room lives or was redeemed. */
function codeKeeps(code: CodeRecord | undefined, at: number): boolean {
  return code !== undefined && (code.state === "used" || at < code.expiresAt);
}

function mailWaits(room: Room): boolean {
  return (room.A.mailbox?.size ?? 0) > 0 || (room.B.mailbox?.size ?? 0) > 0;
}

/** Whether a side that left at `leftAt` (undefined: is here, or was never seen) is past its hold. */
export function holdIsOver(leftAt: number | undefined, relayHoldMs: number, now: number): boolean {
  return leftAt !== undefined && now >= leftAt + relayHoldMs;
}

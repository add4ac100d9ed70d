import { otherSide } from "../../base/ids.ts";
import type { Claimable, Newcomer, Seats, Taken } from "../engine.ts";
import {
  holdIsOver,
  type MemorySeat,
  type MemoryState,
  ownSeat,
  type Place,
  type Room,
} from "./rooms.ts";
import { TakeoverGuard } from "./takeover-guard.ts";

export function memorySeats({ now, rooms, limits, dropped }: MemoryState): Seats {
  /** Why the newcomer may put the occupant out, or undefined when it may not. */
  function takeover(place: Place, occupant: MemorySeat, newcomer: Newcomer, how: Claimable) {
    if (how === "free") return undefined;
    if (how !== "same_sid") return how.dead === occupant.token ? "dead" : undefined;
    if (newcomer.sid === "" || newcomer.sid !== occupant.sid) return undefined;
    place.guard ??= new TakeoverGuard();
    return place.guard.allows(now()) ? "same_sid" : undefined;
  }

  function sitDown(room: Room, newcomer: Newcomer): Taken {
    const { side, sid, accounts, listener } = newcomer;
    const place = room[side];
    const other = room[otherSide(side)].seat;
    dropStale(place, sid);
    const held = place.hold?.size ?? 0;
    const token = ++room.tokens;
    const { appId } = room;
    const seat: MemorySeat = {
      appId,
      side,
      token,
      room,
      sid,
      accounts,
      listener,
      started: newcomer.startsRelay && held === 0,
      isHeld: true,
      peer: other,
    };
    if (other) other.peer = seat;
    place.seat = seat;
    place.sid = sid;
    place.leftAt = undefined;
    place.waited = 0;
    rooms.occupied(room);
    const firstPair = other !== undefined && !room.paired;
    if (firstPair) room.paired = true;
    other?.listener.peerJoined();
    return {
      outcome: "taken",
      seat,
      peer: other !== undefined,
      firstPair,
      held,
      started: seat.started,
      lastSeq: place.mailbox?.last ?? 0,
      mailWaits: (place.mailbox?.size ?? 0) > 0,
    };
  }

  /** Held frames are for the client that was away, and only for as long as the hold lasts. */
  function dropStale(place: Place, sid: string): void {
    if (place.hold === undefined) return;
    if (holdIsOver(place.leftAt, limits.relayHoldMs, now()))
      dropped("hold_expired", place.hold.clear());
    else if (place.sid !== sid) dropped("stale", place.hold.clear());
  }

  function vacate(place: Place, seat: MemorySeat): void {
    place.seat = undefined;
    seat.isHeld = false;
    if (seat.peer) seat.peer.peer = undefined;
    seat.peer = undefined;
  }

  return {
    take(newcomer, how) {
      const { appId, accounts } = newcomer;
      const room = rooms.find(appId) ?? rooms.create(appId, accounts);
      if ("outcome" in room) return room;
      const place = room[newcomer.side];
      const occupant = place.seat;
      if (occupant === undefined) return sitDown(room, newcomer);
      const why = takeover(place, occupant, newcomer, how);
      if (why === undefined) return { outcome: "busy", token: occupant.token };
      vacate(place, occupant);
      occupant.listener.replaced(why);
      room[otherSide(newcomer.side)].seat?.listener.peerLeft();
      return sitDown(room, newcomer);
    },
    leave(seat) {
      const own = ownSeat(seat);
      const { room, side } = own;
      const place = room[side];
      if (!own.isHeld) return false;
      vacate(place, own);
      place.leftAt = now();
      const other = room[otherSide(side)].seat;
      if (other === undefined) rooms.emptied(room);
      else other.listener.peerLeft();
      place.waiter?.vacant();
      return true;
    },
    async probe(appId, side, token) {
      const occupant = rooms.find(appId)?.[side].seat;
      if (occupant?.token !== token) return "gone";
      return (await occupant.listener.probed()) ? "alive" : "dead";
    },
    park(appId, side, waiter) {
      const place = rooms.find(appId)?.[side];
      if (place?.seat === undefined) {
        queueMicrotask(() => waiter.vacant());
        return { times: 1, unpark() {} };
      }
      place.waiter?.displaced();
      place.waiter = waiter;
      return {
        times: ++place.waited,
        unpark() {
          if (place.waiter === waiter) place.waiter = undefined;
        },
      };
    },
  };
}

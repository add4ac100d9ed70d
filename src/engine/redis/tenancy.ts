import type { Clock } from "../../base/clock.ts";
import { otherSide } from "../../base/ids.ts";
import {
  type Claimable,
  EngineUnreachable,
  type Newcomer,
  type NoSpace,
  takeoverGuardMaxMs,
  takeoverGuardMs,
} from "../engine.ts";
import { accountWords, numberAt, type RunRoomScript, textAt } from "./rooms-store.ts";
import { roomScripts, type Script } from "./scripts/scripts.ts";
import type { LocalSeat } from "./seat.ts";
import type { SeatBook } from "./seat-book.ts";
import { type Reply, StoreFull } from "./store.ts";

export interface TenancyOptions {
  readonly run: RunRoomScript;
  readonly book: SeatBook;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly leaseMs: number;
  readonly maxRooms: number;
}

/** How seats on this node are kept, and how they are lost. */
export interface Tenancy {
  /**
   * Runs a script for the holder of a seat. A seat that is gone, with its room, is taken anew first;
   * `lost` comes back when it is another's, which its connection has been told by then.
   */
  runAsOwner(seat: LocalSeat, script: Script, args?: readonly (string | number)[]): Promise<Reply>;
  /**
   * As `runAsOwner`, for what cannot be left undone: without an answer the seat is given up. A Redis
   * with no space for it answers `full`.
   */
  runAsOwnerOrDrop(
    seat: LocalSeat,
    script: Script,
    args?: readonly (string | number)[],
  ): Promise<Reply>;
  /** Takes a vanished seat anew: a room that Redis has forgotten comes into being again. */
  heal(seat: LocalSeat): Promise<void>;
  replaced(seat: LocalSeat, why: "same_sid" | "dead"): void;
  /** Its connection had better go to another node. */
  cutOff(seat: LocalSeat): void;
  /** The other side, if its connection is here as well: frames between the two need no Redis. */
  peerHere(seat: LocalSeat): LocalSeat | undefined;
}

export function takeArgs(
  { sid, accounts }: Pick<Newcomer, "sid" | "accounts">,
  how: Claimable,
  maxRooms: number,
  knownSeq = 0,
  on = false,
) {
  const claim = typeof how === "object" ? how.dead : how;
  const who = [sid, accountWords(accounts), claim];
  return [...who, maxRooms, takeoverGuardMs, takeoverGuardMaxMs, knownSeq, on ? 1 : 0];
}

export function isNoSpace(outcome: unknown): outcome is NoSpace["outcome"] {
  return outcome === "full" || outcome === "share_full";
}

const lost: Reply = ["lost"];
const full: Reply = ["full"];

export function tenancy({ run, book, clock, leaseMs, maxRooms }: TenancyOptions): Tenancy {
  function end(seat: LocalSeat): boolean {
    if (!seat.isHeld) return false;
    seat.isHeld = false;
    book.remove(seat);
    return true;
  }

  function replaced(seat: LocalSeat, why: "same_sid" | "dead"): void {
    if (end(seat)) seat.listener.replaced(why);
  }

  function cutOff(seat: LocalSeat): void {
    if (!end(seat)) return;
    seat.listener.cutOff();
    run(roomScripts.leave, seat).catch(() => {});
  }

  async function retake(seat: LocalSeat): Promise<void> {
    const askedAt = clock.monotonicMs();
    const args = takeArgs(seat, "free", maxRooms, seat.lastRead, seat.hasBegun);
    const place = { appId: seat.appId, side: seat.side };
    const reply = await run(roomScripts.take, place, args);
    if (isNoSpace(reply[0])) return cutOff(seat);
    if (reply[0] !== "taken") return replaced(seat, "same_sid");
    const token = numberAt(reply, 1);
    if (!seat.isHeld) {
      // It was left meanwhile.
      await run(roomScripts.leave, { ...place, token });
      return;
    }
    book.remove(seat);
    seat.token = token;
    book.add(seat);
    seat.leasedUntil = askedAt + leaseMs;
    // What was said to the new token before it was known here was not heard: look again at once.
    seat.renewAt = askedAt;
    if (seat.hasBegun) seat.next = numberAt(reply, 9) + 1;
    seat.lastSent = 0;
    const peerToken = numberAt(reply, 7);
    seat.peer = peerToken === 0 ? undefined : { token: peerToken, node: textAt(reply, 8) };
    if (seat.peer) seat.listener.peerJoined();
    seat.listener.mailStored();
  }

  async function heal(seat: LocalSeat): Promise<void> {
    seat.healing ??= retake(seat).finally(() => {
      seat.healing = undefined;
    });
    return seat.healing;
  }

  async function runAsOwner(
    seat: LocalSeat,
    script: Script,
    args?: readonly (string | number)[],
  ): Promise<Reply> {
    for (let tries = 0; tries < 2; tries++) {
      if (!seat.isHeld) return lost;
      const { token } = seat;
      const reply = await run(script, seat, args);
      if (reply[0] === "gone") {
        if (token === seat.token) await heal(seat);
        continue;
      }
      if (reply[0] === "lost" && token === seat.token) replaced(seat, "same_sid");
      return reply;
    }
    return lost;
  }

  return {
    runAsOwner,
    async runAsOwnerOrDrop(seat, script, args) {
      try {
        return await runAsOwner(seat, script, args);
      } catch (error) {
        if (error instanceof StoreFull) return full;
        if (error instanceof EngineUnreachable) cutOff(seat);
        throw error;
      }
    },
    heal,
    replaced,
    cutOff,
    peerHere: ({ appId, side }) => book.latest(appId, otherSide(side)),
  };
}

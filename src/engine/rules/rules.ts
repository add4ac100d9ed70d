import { ack, append, hello, read } from "./mail.ts";
import { publish, start } from "./relay.ts";
import { forget, isBare, settle } from "./room.ts";
import { allowsIce, check, establish, leave, park, probe, reclaim, take, unpark } from "./seats.ts";
import type { Holder, Turn } from "./turn.ts";

/** Forgets a bare room, to make space for another. */
function giveWay(turn: Turn): void {
  if (turn.room !== undefined && isBare(turn.room)) forget(turn, turn.room);
}

/** The room's code was redeemed. */
function redeem({ room }: Turn): void {
  if (room !== undefined) room.redeemed = true;
}

/** Only applies what has expired: `settle` runs before every verb. */
function nothing(_: Turn): void {}

/** Verbs that need no seat. */
const roomVerbs = {
  take,
  park,
  unpark,
  probe,
  allowsIce,
  giveWay,
  redeem,
  nothing,
};
/** Verbs of the holder of a seat. */
const seatVerbs = { leave, establish, publish, start, append, read, ack, hello, check };

type Args<F> = F extends (turn: Turn, ...args: infer A) => unknown ? A : never;
type SeatArgs<F> = F extends (turn: Turn, seat: Holder, ...args: infer A) => unknown ? A : never;

type All = typeof roomVerbs & typeof seatVerbs;
/** The arguments (without turn and holder) and the answer of each verb. */
export type Verbs = {
  readonly [V in keyof All]: {
    readonly args: V extends keyof typeof seatVerbs ? SeatArgs<All[V]> : Args<All[V]>;
    readonly answer: ReturnType<All[V]>;
  };
};

type AnyVerb = (turn: Turn, ...args: readonly unknown[]) => unknown;

/**
 * Runs one verb as a turn at the room. `holder` is for `seatVerbs` only. Arguments are plain data without
 * `undefined`.
 */
export function run(
  turn: Turn,
  verb: string,
  holder: Holder | undefined,
  first?: unknown,
  second?: unknown,
): unknown {
  settle(turn);
  if (holder === undefined) {
    return (roomVerbs as unknown as Record<string, AnyVerb>)[verb]?.(turn, first, second);
  }
  if (holder.known !== undefined && verb !== "leave") reclaim(turn, holder, holder.known);
  return (seatVerbs as unknown as Record<string, AnyVerb>)[verb]?.(turn, holder, first, second);
}

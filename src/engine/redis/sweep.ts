import type { AppId } from "../../base/ids.ts";
import type { Sizes } from "../engine.ts";
import type { Keys } from "./keys.ts";
import { numberAt, type RunRoomScript, textAt } from "./rooms-store.ts";
import { globalScripts, roomScripts } from "./scripts/scripts.ts";
import type { Reply, Store } from "./store.ts";

export interface HouseSweepOptions {
  readonly store: Store;
  readonly keys: Keys;
  readonly run: RunRoomScript;
  /** For how long misses count. */
  readonly redeemWindowMs: number;
  /** Hears how many misses there were of late. */
  readonly recentMisses: (count: number) => void;
}

/** Rooms looked at in one go. */
const maxRoomsAtOnce = 200;
/** So many times in one sweep. */
const maxRounds = 50;
/** Numbers that `sweep.lua` answers before the rooms. */
const sums = 14;

/** Collects what is due for all nodes, and learns on the way what all of them hold. */
export function houseSweep(options: HouseSweepOptions) {
  const { store, keys, run } = options;
  let seen = sizesOf(Array<number>(sums).fill(0));
  let sweeping: Promise<void> | undefined;

  async function find(): Promise<readonly AppId[]> {
    const { live, used, clients, guessers, busy, empty, use, holds, allMisses } = keys;
    const all = [live, used, clients, guessers, busy, empty, use, holds, allMisses];
    const args = [maxRoomsAtOnce, options.redeemWindowMs].map(String);
    const reply = await store.run(globalScripts.sweep, all, args);
    seen = sizesOf(reply);
    options.recentMisses(numberAt(reply, sums - 1));
    return reply.slice(sums).map((_, i) => textAt(reply, i + sums) as AppId);
  }

  async function sweep(): Promise<void> {
    for (let round = 0; round < maxRounds; round++) {
      const due = await find();
      if (due.length === 0) return;
      await Promise.all(due.map((appId) => run(roomScripts.settle, { appId, side: "A" })));
    }
  }

  return {
    sizes: (): Sizes => seen,
    /** One at a time: whoever asks meanwhile gets the one under way. */
    sweep(): Promise<void> {
      if (!store.isUp) return Promise.resolve();
      sweeping ??= sweep()
        .catch(() => {})
        .finally(() => {
          sweeping = undefined;
        });
      return sweeping;
    },
  };
}

/** What `sweep.lua` answers, by name. */
function sizesOf(reply: Reply): Sizes {
  const at = (index: number) => numberAt(reply, index);
  return {
    codesLive: at(0),
    codesResting: at(1) - at(0),
    codeClients: at(2),
    guessers: at(3),
    rooms: at(4),
    peers: at(5),
    mailboxes: at(6),
    mails: at(7),
    mailBytes: at(8),
    heldFrames: at(9),
    heldBytes: at(10),
    idBytes: at(11),
    ringBytes: at(12),
  };
}

import type { AppId } from "../../base/ids.ts";
import type { IceGrant, Rooms, Sizes } from "../engine.ts";
import { ownSeat } from "./local-seats.ts";
import { accountWords, isNoSpace, type RedisNode } from "./node.ts";
import { globalScripts, roomScripts } from "./scripts/scripts.ts";
import { numberAt, type Reply, textAt } from "./store.ts";

export function redisRooms(node: RedisNode): Rooms {
  const { maxRooms } = node.options.limits;
  return {
    async admits(appId, accounts) {
      const args = [maxRooms, accountWords(accounts)];
      const reply = await node.run(roomScripts.admits, { appId, side: "A" }, args);
      return isNoSpace(reply[0]) ? reply[0] : "admitted";
    },
    async establish(seat) {
      const reply = await node.runAsOwner(ownSeat(seat), roomScripts.establish);
      const ageMs = Number(reply[0]);
      return ageMs >= 0 ? ageMs : undefined;
    },
    async allowsIce(appId, side, mustBeRedeemed) {
      const reply = await node.run(roomScripts.grant, { appId, side }, [mustBeRedeemed ? 1 : 0]);
      return grants.find((grant) => grant === reply[0]) ?? "no_seat";
    },
  };
}

const grants: readonly IceGrant[] = ["granted", "no_seat", "not_redeemed"];

/** Rooms looked at in one go. */
const maxRoomsAtOnce = 200;
/** So many times in one sweep. */
const maxRounds = 50;
/** Numbers that `sweep.lua` answers before the rooms. */
const sums = 14;

/** Collects what is due for all nodes, and reads the sums over all rooms with it. */
export function redisSweep(node: RedisNode, learnRecentMisses: (count: number) => void) {
  const { store, keys } = node;
  let sizes = sizesOf(Array<number>(sums).fill(0));
  let sweeping: Promise<void> | undefined;

  async function findDue(): Promise<readonly AppId[]> {
    const { live, used, clients, guessers, busy, empty, use, holds, allMisses } = keys;
    const all = [live, used, clients, guessers, busy, empty, use, holds, allMisses];
    const args = [maxRoomsAtOnce, node.options.limits.redeemWindowMs].map(String);
    const reply = await store.run(globalScripts.sweep, all, args);
    sizes = sizesOf(reply);
    learnRecentMisses(numberAt(reply, sums - 1));
    return reply.slice(sums).map((_, i) => textAt(reply, i + sums) as AppId);
  }

  async function sweepAll(): Promise<void> {
    for (let round = 0; round < maxRounds; round++) {
      const due = await findDue();
      if (due.length === 0) return;
      await Promise.all(due.map((appId) => node.run(roomScripts.settle, { appId, side: "A" })));
    }
  }

  return {
    sizes: (): Sizes => sizes,
    /** One at a time: who calls meanwhile gets the one under way. */
    sweep(): Promise<void> {
      if (!store.isUp) return Promise.resolve();
      sweeping ??= sweepAll()
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

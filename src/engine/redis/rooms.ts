import type { IceGrant, Rooms } from "../engine.ts";
import { accountWords, type RunRoomScript } from "./rooms-store.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { ownSeat } from "./seat.ts";
import { isNoSpace, type Tenancy } from "./tenancy.ts";

export interface RedisRoomsOptions {
  readonly run: RunRoomScript;
  readonly tenancy: Tenancy;
  readonly maxRooms: number;
}

export function redisRooms({ run, tenancy, maxRooms }: RedisRoomsOptions): Rooms {
  return {
    async admits(appId, accounts) {
      const args = [maxRooms, accountWords(accounts)];
      const reply = await run(roomScripts.admits, { appId, side: "A" }, args);
      return isNoSpace(reply[0]) ? reply[0] : "admitted";
    },
    async establish(seat) {
      const reply = await tenancy.runAsOwner(ownSeat(seat), roomScripts.establish);
      const ageMs = Number(reply[0]);
      return ageMs >= 0 ? ageMs : undefined;
    },
    async grantIce(appId, side, { redeemed, maxGrants }) {
      const reply = await run(roomScripts.grant, { appId, side }, [redeemed ? 1 : 0, maxGrants]);
      return grants.find((grant) => grant === reply[0]) ?? "no_seat";
    },
  };
}

const grants: readonly IceGrant[] = ["granted", "no_seat", "not_redeemed", "spent"];

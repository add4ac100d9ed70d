import type { IceGrant, Rooms } from "../engine.ts";
import { accountWords, type RunRoomStep } from "./rooms-store.ts";
import { roomSteps } from "./scripts/scripts.ts";
import { ownSeat } from "./seat.ts";
import { isNoSpace, type Tenancy } from "./tenancy.ts";

export interface RedisRoomsOptions {
  readonly run: RunRoomStep;
  readonly tenancy: Tenancy;
  readonly maxRooms: number;
}

export function redisRooms({ run, tenancy, maxRooms }: RedisRoomsOptions): Rooms {
  return {
    async admits(appId, accounts) {
      const args = [maxRooms, accountWords(accounts)];
      const reply = await run(roomSteps.admits, { appId, side: "A" }, args);
      return isNoSpace(reply[0]) ? reply[0] : "admitted";
    },
    async establish(seat) {
      const reply = await tenancy.asHolder(ownSeat(seat), roomSteps.establish);
      const ageMs = Number(reply[0]);
      return ageMs >= 0 ? ageMs : undefined;
    },
    async grantIce(appId, side, { redeemed, maxGrants }) {
      const reply = await run(roomSteps.grant, { appId, side }, [redeemed ? 1 : 0, maxGrants]);
      return grants.find((grant) => grant === reply[0]) ?? "no_seat";
    },
  };
}

const grants: readonly IceGrant[] = ["granted", "no_seat", "not_redeemed", "spent"];

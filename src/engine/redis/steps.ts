import { shareParts } from "../../base/account.ts";
import { entryCostBytes } from "../engine.ts";
import ack from "./steps/ack.lua" with { type: "text" };
import admits from "./steps/admits.lua" with { type: "text" };
import append from "./steps/append.lua" with { type: "text" };
import claim from "./steps/claim.lua" with { type: "text" };
import establish from "./steps/establish.lua" with { type: "text" };
import grant from "./steps/grant.lua" with { type: "text" };
import guess from "./steps/guess.lua" with { type: "text" };
import leave from "./steps/leave.lua" with { type: "text" };
import misses from "./steps/misses.lua" with { type: "text" };
import park from "./steps/park.lua" with { type: "text" };
import prelude from "./steps/prelude.lua" with { type: "text" };
import probe from "./steps/probe.lua" with { type: "text" };
import publish from "./steps/publish.lua" with { type: "text" };
import pull from "./steps/pull.lua" with { type: "text" };
import read from "./steps/read.lua" with { type: "text" };
import renew from "./steps/renew.lua" with { type: "text" };
import room from "./steps/room.lua" with { type: "text" };
import settle from "./steps/settle.lua" with { type: "text" };
import start from "./steps/start.lua" with { type: "text" };
import sweep from "./steps/sweep.lua" with { type: "text" };
import take from "./steps/take.lua" with { type: "text" };
import unpark from "./steps/unpark.lua" with { type: "text" };

/** An atomic step: one script, known to the server by the SHA-1 of its text. */
export interface Step {
  readonly text: string;
  readonly sha: string;
}

/** What `room.lua` has to know of the contract. */
const constants = [
  `local entryCost = ${entryCostBytes}`,
  `local clientPart, sitePart = ${shareParts.client}, ${shareParts.site}`,
].join("\n");

/** Steps about codes, and about all rooms. */
export const houseSteps = {
  claim: step(misses, claim),
  guess: step(misses, guess),
  sweep: step(misses, sweep),
} as const;

/** Steps about one room. */
export const roomSteps = {
  ack: roomStep(ack),
  admits: roomStep(admits),
  append: roomStep(append),
  establish: roomStep(establish),
  grant: roomStep(grant),
  leave: roomStep(leave),
  park: roomStep(park),
  probe: roomStep(probe),
  publish: roomStep(publish),
  pull: roomStep(pull),
  read: roomStep(read),
  renew: roomStep(renew),
  settle: roomStep(settle),
  start: roomStep(start),
  take: roomStep(take),
  unpark: roomStep(unpark),
} as const;

export const allSteps: readonly Step[] = [
  ...Object.values(houseSteps),
  ...Object.values(roomSteps),
];

function roomStep(text: string): Step {
  return step(constants, room, text);
}

function step(...parts: readonly string[]): Step {
  const text = [prelude, ...parts].join("\n");
  return { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") };
}

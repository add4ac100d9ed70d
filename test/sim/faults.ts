import type { Chance } from "../support/chance.ts";
import { chance } from "../support/chance.ts";
import type { Party } from "./clients.ts";
import type { World } from "./world.ts";

/** A fault, drawn before the simulation begins. */
export interface Fault {
  readonly atMs: number;
  readonly kind: string;
  /** The seed for its details. */
  readonly seed: number;
}

/** The mean time between two faults, ms. */
const everyMs = 4_000;

/** Faults of one client or its network. All of them happen to real users. */
const mishaps: Readonly<Record<string, (world: World, party: Party, draws: Chance) => void>> = {
  reset: (_, { conn }) => conn?.reset(),
  "lose network": (_, { conn }) => conn?.loseNetwork(),
  "cut at the client": (_, { conn }) => conn?.cutAt("client"),
  "cut at the server": (_, { conn }) => conn?.cutAt("server"),
  "stall up": (_, { conn }, draws) => conn?.stall("up", durationOf(draws)),
  "stall down": (_, { conn }, draws) => conn?.stall("down", durationOf(draws)),
  "stop reading": (_, { conn }, draws) => conn?.stopReading(durationOf(draws)),
  sleep: (world, party, draws) => {
    const ms = durationOf(draws);
    party.process.stoppedUntil = Math.max(party.process.stoppedUntil, world.time.now + ms);
    party.conn?.disturb(ms);
  },
  "change network": (world, party) => world.time.as(party.process, () => party.changeNetwork()),
  reload: (world, party) => {
    party.vanish(false);
    world.replace(party, party.sid);
  },
  "start anew": (world, party, draws) => {
    party.vanish(draws.oneIn(2));
    world.time.after(draws.below(15_000), () => world.replace(party, `${party.sid}'`, 0));
  },
  "second device": (world, party, draws) => {
    const sid = draws.oneIn(2) ? party.sid : `${party.sid}"`;
    const other = world.replace(party, sid, 0);
    world.time.after(draws.below(40_000), () => other?.leave());
  },
  "burst of mail": (world, party, draws) => {
    const bytes = draws.oneIn(2) ? 0 : draws.below(Math.min(4_000, world.maxFrameBytes - 400));
    for (let i = 0; i < 40; i++) party.mail(bytes);
  },
  "burst of frames": (world, party, draws) => {
    const bytes = draws.oneIn(2) ? 0 : draws.below(world.maxFrameBytes - 400);
    for (let i = 0; i < 40; i++) party.relay("ice", bytes);
  },
  "flood to one that does not read": (world, party, draws) => {
    for (const other of world.parties) {
      if (other.appId === party.appId && other.side !== party.side) {
        other.conn?.stopReading(durationOf(draws));
      }
    }
    for (let i = 0; i < 30; i++) party.relay("ice", world.maxFrameBytes / 4);
  },
};

function durationOf(draws: Chance): number {
  return 50 + draws.below(draws.pick([300, 3_000, 12_000, 60_000]));
}

export function drawFaults(
  draws: Chance,
  untilMs: number,
  ofArrangement: readonly string[],
): readonly Fault[] {
  const faults: Fault[] = [];
  const names = Object.keys(mishaps);
  for (let atMs = 3_000; atMs < untilMs; atMs += draws.below(2 * everyMs)) {
    const kind = draws.oneIn(25) ? draws.pick(ofArrangement) : draws.pick(names);
    faults.push({ atMs, kind, seed: draws.below(2 ** 32) });
  }
  return faults;
}

export function playFault(world: World, { kind, seed }: Fault): void {
  const draws = chance(seed);
  const ofArrangement = world.arrangement.faults[kind];
  if (ofArrangement !== undefined) {
    for (const room of world.checks.rooms.values())
      room.note(world.time.now, "*", `fault: ${kind}`);
    return ofArrangement(draws);
  }
  const there = [...world.parties].filter(({ hasLeft, conns }) => !hasLeft && conns.length > 0);
  if (there.length === 0) return;
  const party = draws.pick(there);
  world.checks.rooms.get(party.appId)?.note(world.time.now, party.id, `fault: ${kind}`);
  mishaps[kind]?.(world, party, draws);
}

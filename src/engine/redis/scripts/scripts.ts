import { type AccountKind, accountKinds, partOf } from "../../../base/account.ts";
import type { AppId, Code } from "../../../base/ids.ts";
import { entryCostBytes } from "../../engine.ts";
import ack from "./ack.lua" with { type: "text" };
import admits from "./admits.lua" with { type: "text" };
import append from "./append.lua" with { type: "text" };
import claim from "./claim.lua" with { type: "text" };
import establish from "./establish.lua" with { type: "text" };
import grant from "./grant.lua" with { type: "text" };
import guess from "./guess.lua" with { type: "text" };
import leave from "./leave.lua" with { type: "text" };
import misses from "./misses.lua" with { type: "text" };
import onlyStarted from "./only-started.lua" with { type: "text" };
import park from "./park.lua" with { type: "text" };
import prelude from "./prelude.lua" with { type: "text" };
import probe from "./probe.lua" with { type: "text" };
import publish from "./publish.lua" with { type: "text" };
import pull from "./pull.lua" with { type: "text" };
import read from "./read.lua" with { type: "text" };
import renew from "./renew.lua" with { type: "text" };
import room from "./room.lua" with { type: "text" };
import settle from "./settle.lua" with { type: "text" };
import start from "./start.lua" with { type: "text" };
import sweep from "./sweep.lua" with { type: "text" };
import take from "./take.lua" with { type: "text" };
import unpark from "./unpark.lua" with { type: "text" };

/** One atomic change, known to the server by the SHA-1 of its text. */
export interface Script {
  readonly text: string;
  readonly sha: string;
  /** Refused by a Redis that is full. */
  readonly adds: boolean;
  /** For a Redis that is full: the same script where it concerns what exists, refused otherwise. */
  readonly whenFull?: Script;
}

/** What an account's word begins with in the scripts. */
export function letterOf(kind: AccountKind): string {
  return { client: "c", customer: "u", site: "s", shared: "p" }[kind];
}

/** What stands before every script about one room, with what it has to know of the contract. */
const roomPrelude = [
  `local entryCost = ${entryCostBytes}`,
  `local partOf = { ${accountKinds.map((kind) => `${letterOf(kind)} = ${partOf(kind)}`).join(", ")} }`,
  room,
].join("\n");

/**
 * Scripts about codes, and about all rooms. Those that keep or free what exists run in a Redis that is
 * full as well; those that add are refused there, before they change anything.
 */
export const globalScripts = {
  claim: adding(misses, claim),
  guess: keeping(misses, guess),
  sweep: keeping(misses, sweep),
} as const;

/** Scripts about one room. */
export const roomScripts = {
  ack: keeping(roomPrelude, ack),
  admits: addingRooms(admits),
  append: adding(roomPrelude, append),
  establish: keeping(roomPrelude, establish),
  grant: keeping(roomPrelude, grant),
  leave: keeping(roomPrelude, leave),
  park: keeping(roomPrelude, park),
  probe: keeping(roomPrelude, probe),
  publish: adding(roomPrelude, publish),
  pull: keeping(roomPrelude, pull),
  read: keeping(roomPrelude, read),
  renew: keeping(roomPrelude, renew),
  settle: keeping(roomPrelude, settle),
  start: keeping(roomPrelude, start),
  take: addingRooms(take),
  unpark: keeping(roomPrelude, unpark),
} as const;

function adding(...parts: readonly string[]): Script {
  return script("#!lua", ...parts);
}

function keeping(...parts: readonly string[]): Script {
  return script("#!lua flags=allow-oom", ...parts);
}

/** Adds a room, or a side to one that exists. */
function addingRooms(text: string): Script {
  return { ...adding(roomPrelude, text), whenFull: keeping(roomPrelude, onlyStarted, text) };
}

/** `flags` is the first line of the script (Redis 7: the flags of a script). */
function script(flags: string, ...parts: readonly string[]): Script {
  const text = [flags, prelude, ...parts].join("\n");
  return {
    text,
    adds: flags === "#!lua",
    sha: new Bun.CryptoHasher("sha1").update(text).digest("hex"),
  };
}

/** The names of all keys and channels. What belongs together has one hash tag. */
export function keysUnder(prefix: string) {
  const shared = `${prefix}{rv}:`;
  return {
    prefix,
    live: `${shared}live`,
    used: `${shared}used`,
    clients: `${shared}clients`,
    guessers: `${shared}guessers`,
    allMisses: `${shared}misses`,
    busy: `${shared}busy`,
    empty: `${shared}empty`,
    bare: `${shared}bare`,
    use: `${shared}use`,
    holds: `${shared}holds`,
    settings: `${shared}settings`,
    /** What the names of keys of a kind begin with. */
    ofRoom: `${shared}room:`,
    ofClient: `${shared}client:`,
    code: (code: Code) => `${shared}code:${code}`,
    misses: (guesser: string) => `${shared}misses:${guesser}`,
    operation: (id: string) => `${shared}operation:${id}`,
    node: (id: string) => `${prefix}node:${id}`,
    /** All that a script about this room may touch, in the order of `room.lua`. */
    room(appId: AppId): readonly string[] {
      const room = `${prefix}{${appId}}`;
      const sides = roomParts.flatMap((part) => [`${room}:${part}A`, `${room}:${part}B`]);
      const overall = [this.busy, this.empty, this.bare, this.use, this.holds];
      return [room, ...sides, this.ofRoom + appId, ...overall];
    },
  };
}

const roomParts = ["mail", "hold", "ring", "ids", "order"] as const;

export type Keys = ReturnType<typeof keysUnder>;

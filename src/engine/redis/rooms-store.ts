import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import { type EngineLimits, EngineUnreachable, ringTotalBytes } from "../engine.ts";
import type { Keys } from "./keys.ts";
import type { Script } from "./scripts/scripts.ts";
import type { Reply, Store } from "./store.ts";

export interface RoomsStoreOptions {
  readonly store: Store;
  readonly keys: Keys;
  readonly node: string;
  readonly leaseMs: number;
  readonly limits: EngineLimits;
  readonly dropped: (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;
}

/** What a script is about: a side of a room, and for its holder the seat's token. */
export interface RoomPlace {
  readonly appId: AppId;
  readonly side: Side;
  readonly token?: number;
}

/** Runs a script about one room, and passes on what was given up on the way. */
export type RunRoomScript = (
  script: Script,
  place: RoomPlace,
  args?: readonly (string | number)[],
) => Promise<Reply>;

export function roomsStore(options: RoomsStoreOptions): RunRoomScript {
  const { store, keys, node, limits, leaseMs, dropped } = options;
  const { roomTtlMs, relayHoldMs, mailTotalBytes } = limits;
  const times = [roomTtlMs, relayHoldMs, leaseMs].map(String);
  const bytes = [mailTotalBytes, ringTotalBytes(limits)].map(String);

  return async (script, place, args = []) => {
    const { appId, side, token } = place;
    const head = [appId, side, token === undefined ? "" : String(token), keys.prefix];
    const all = [...head, ...times, node, ...bytes, ...args.map(String)];
    const [stale, expired, forgotten, ...rest] = await store.run(script, keys.room(appId), all);
    if (Number(stale) > 0) dropped("stale", Number(stale));
    if (Number(expired) > 0) dropped("hold_expired", Number(expired));
    if (Number(forgotten) > 0) dropped("room_forgotten", Number(forgotten));
    if (rest[0] === "store_full") throw store.full("OOM there is no space for a new room");
    return rest;
  };
}

/** Accounts as the scripts know them. Their keys are addresses and networks: they hold no spaces. */
export function accountWords(accounts: readonly Account[]): string {
  return accounts.map(({ key, isSite }) => (isSite ? "s" : "c") + key).join(" ");
}

// ---- replies ----

export function numberAt(reply: Reply, index: number): number {
  const value = Number(reply[index]);
  if (Number.isNaN(value)) throw new EngineUnreachable("it answered nonsense");
  return value;
}

export function textAt(reply: Reply, index: number): string {
  return String(reply[index] ?? "");
}

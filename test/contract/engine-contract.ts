import { describe } from "bun:test";
import type { MaybePromise } from "../../src/base/maybe-promise.ts";
import type { Engine, EngineLimits } from "../../src/engine/engine.ts";
import { codesContract } from "./codes-contract.ts";
import { guessesContract } from "./guesses-contract.ts";
import { holdContract } from "./hold-contract.ts";
import { housekeepingContract } from "./housekeeping-contract.ts";
import { iceContract } from "./ice-contract.ts";
import { mailboxBoundsContract } from "./mailbox-bounds-contract.ts";
import { mailboxesContract } from "./mailboxes-contract.ts";
import { parkingContract } from "./parking-contract.ts";
import { relayContract } from "./relay-contract.ts";
import { roomsContract } from "./rooms-contract.ts";
import { seatsContract } from "./seats-contract.ts";
import { sharesContract } from "./shares-contract.ts";
import { takeoverContract } from "./takeover-contract.ts";
import { watermarksContract } from "./watermarks-contract.ts";

/** A fresh, empty engine, and the hands a test needs on it. */
export interface EngineUnderTest extends AsyncDisposable {
  readonly engine: Engine;
  /** Lets the engine's time pass. Time may also run by itself, by less than a second a test. */
  advance(ms: number): MaybePromise<void>;
  /** How much was accepted and then given up for this reason. */
  dropped(reason: "stale" | "hold_expired" | "room_forgotten"): MaybePromise<number>;
}

/** Bounds that a test doesn't name are far off, but for the times in `contractLimits`. */
export type MakeEngine = (limits?: Partial<EngineLimits>) => Promise<EngineUnderTest>;

export const contractLimits: EngineLimits = {
  roomTtlMs: 600_000,
  redeemWindowMs: 60_000,
  relayHoldMs: 10_000,
  maxRooms: 10_000,
  holdMaxFrames: 128,
  holdMaxBytes: 262_144,
  mailboxMaxMails: 10_000,
  mailboxMaxBytes: 4_194_304,
  mailTotalBytes: 268_435_456,
};

/**
 * What every engine promises, whatever keeps its state. Answers are awaited and notifications are
 * waited for, so that an engine in another process can be held to the same words.
 */
export function engineContract(name: string, make: MakeEngine): void {
  describe(`${name} keeps the engine contract`, () => {
    codesContract(make);
    guessesContract(make);
    seatsContract(make);
    takeoverContract(make);
    parkingContract(make);
    relayContract(make);
    holdContract(make);
    mailboxesContract(make);
    mailboxBoundsContract(make);
    watermarksContract(make);
    roomsContract(make);
    iceContract(make);
    sharesContract(make);
    housekeepingContract(make);
  });
}

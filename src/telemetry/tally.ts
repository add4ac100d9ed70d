import { closeReasons } from "../protocol/closes.ts";
import { frameTypes } from "../protocol/frames.ts";

/**
 * What is counted. Every label comes from one of the closed sets here, never from a client. Counts are
 * plain numbers: the code that does the work adds to them, and a scrape copies them into metrics.
 */

/** Why something that a client sent was dropped. */
export const dropReasons = [
  /** Not one JSON object, or not UTF-8. */
  "malformed",
  /** A field of the wrong type or range. */
  "bad_field",
  /** The other side is not there and did not leave recently. */
  "no_peer",
  /** The hold for an absent side is full. */
  "hold_full",
  /** The sender has used its share of all that is held. */
  "hold_share",
  /** Held for a side that did not come back in time. */
  "hold_expired",
  /** Held, but the negotiation was started again. */
  "stale",
  /** The mailbox, or the space for all mail, is full. */
  "mailbox_full",
  /** The sender has used its share of the space for mail. */
  "mail_share",
  /** Mail that was still stored when its room was forgotten. */
  "room_forgotten",
  /** Another connection had taken the sender's seat. */
  "replaced",
  /** Unsent to a connection that was closed for not reading. */
  "slow_peer",
  /** Sent by a newcomer that did not get a seat. */
  "parked",
  /** The runtime refused to queue a frame: a bug, must stay 0. */
  "overrun",
] as const;
export type DropReason = (typeof dropReasons)[number];

/** How a connection path ended, as `telemetry` frames report it. */
export const iceModes = [
  "direct",
  "host",
  "srflx",
  "prflx",
  "relay",
  "unspecified",
  "other",
] as const;
export const iceFailures = ["ice-failed", "timeout", "closed", "other"] as const;

/** Why an upgrade or a request was refused. */
export const refusals = [
  "bad_request",
  "origin",
  "not_upgrade",
  "rate_limited",
  /** The client or its customer missed too many codes. */
  "guesses",
  "codes_per_client",
  "sockets_per_client",
  "sockets_full",
  "rooms_full",
  /** The client has its share of the rooms that were not minted here. */
  "rooms_share",
  "codes_full",
  "draining",
  "gone",
  /** A right code, but too many wrong ones of its length were tried. */
  "withdrawn",
  "ice",
  /** The store was unreachable, or full. */
  "unreachable",
] as const;
export type Refusal = (typeof refusals)[number];

/** How many digits a code can have. */
export const codeDigits = [4, 5, 6, 7, 8] as const;
export type CodeDigits = (typeof codeDigits)[number];

/** Why an occupied seat was given to a newcomer. */
export const takeoverReasons = ["same_sid", "dead"] as const;

/** What is wrong with the header in which a trusted proxy names its client. */
export const unknownClientFaults = ["missing", "unreadable"] as const;

/** Why a shared store refuses a command. */
export const storeRefusals = [
  /** No space is left. */
  "full",
  /** It is not the primary any more. */
  "replica",
  /** Too few replicas follow for a write (`min-replicas-to-write`). */
  "no_replicas",
  /** It cannot write to its disk. */
  "disk",
  "loading",
  /** A script runs for too long. */
  "busy",
  "not_permitted",
  "other",
] as const;

/** Upper bounds in bytes, as the reference server's histogram has them. */
const frameSizeBounds = [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576] as const;
const roundTripBounds = exponential(0.001, 2, 12);
const storeRoundTripBounds = exponential(0.000_25, 2, 14);
const firstFlowBounds = exponential(0.05, 1.6, 12);

function exponential(start: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

/** A histogram as plain numbers: a count for each bucket (not cumulative; the last is +Inf) and the sum. */
export class Distribution {
  readonly counts: number[];
  sum = 0;

  constructor(readonly bounds: readonly number[]) {
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
  }
}

function zeroes<const K extends string | number>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}

/** All counts of one server. */
export class Tally {
  connections = 0;
  readonly framesIn = zeroes(frameTypes);
  readonly bytesIn = zeroes(frameTypes);
  readonly bytesOut = zeroes(frameTypes);
  readonly frameSizeIn = new Distribution(frameSizeBounds);
  readonly frameSizeOut = new Distribution(frameSizeBounds);
  readonly joinSeconds = new Distribution(roundTripBounds);
  readonly roundTripSeconds = new Distribution(roundTripBounds);
  readonly drops = zeroes(dropReasons);
  readonly closes = zeroes(closeReasons);
  readonly refusals = zeroes(refusals);
  /** Requests of a trusted proxy that did not name the client. */
  readonly unknownClients = zeroes(unknownClientFaults);
  readonly takeovers = zeroes(takeoverReasons);
  codesMinted = 0;
  codesRedeemed = 0;
  /** Redeems of codes that were unknown, used or expired. */
  readonly codeMisses = zeroes(codeDigits);
  pairs = 0;
  readonly established = zeroes(iceModes);
  readonly failed = zeroes(iceFailures);
  readonly firstFlowSeconds = new Distribution(firstFlowBounds);
  /** Redis; not counted by a server alone. */
  readonly store = {
    isUp: false,
    /** Times that it came up again. */
    reconnects: 0,
    refusals: zeroes(storeRefusals),
    roundTripSeconds: new Distribution(storeRoundTripBounds),
  };
  /** Bytes queued in all sockets, as last seen. */
  bufferedBytes = 0;
  /** Idle HTTP connections closed because descriptors ran short. */
  idleClosed = 0;
  pausedSockets = 0;
  parkedSockets = 0;
  roomlessSockets = 0;
}

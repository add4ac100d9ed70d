import { closeReasons } from "../protocol/closes.ts";
import { frameTypes } from "../protocol/frames.ts";

/**
 * What is counted. Every label comes from one of the closed sets here, never from a client. Counts are
 * plain numbers: the code that does the work adds to them, and a scrape copies them into metrics.
 */

/** Why something that a client sent was dropped; in Markdown. */
export const dropReasons = {
  malformed: "a frame that is not one JSON object, or not UTF-8",
  bad_field: "a field of the wrong type or range",
  no_peer: "the other side is not there, and did not leave recently",
  hold_full: "the limit of frames held for the absent side is reached",
  hold_share: "the sender has used its share of all that is held",
  hold_expired: "held, but the side did not come back in time",
  stale: "held, but the negotiation was started again",
  mailbox_full: "the mailbox, or the space for all mail, is full",
  mail_share: "the sender has used its share of the space for all mail",
  room_forgotten: "mail that was still stored when its room was forgotten",
  replaced: "another connection had taken the sender's seat",
  slow_peer: "not sent to a connection that was closed because it did not read",
  parked: "sent by a newcomer that did not get a seat",
  overrun: "the runtime refused to queue a frame: a bug, must stay 0",
} as const;
export type DropReason = keyof typeof dropReasons;

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

/** The names of a closed set, in its order. */
export function namesOf<K extends string>(set: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(set) as K[];
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
  readonly drops = zeroes(namesOf(dropReasons));
  readonly closes = zeroes(namesOf(closeReasons));
  readonly refusals = zeroes(refusals);
  readonly unknownClients = zeroes(unknownClientFaults);
  readonly takeovers = zeroes(takeoverReasons);
  codesMinted = 0;
  codesRedeemed = 0;
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
  idleClosed = 0;
  pausedSockets = 0;
  parkedSockets = 0;
  roomlessSockets = 0;
}

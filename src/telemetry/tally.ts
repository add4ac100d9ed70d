import { closeReasons } from "../protocol/closes.ts";
import { frameTypes } from "../protocol/frames.ts";

/**
 * What may be counted. Every label comes from one of the closed sets here, never from a client.
 * Counts are plain numbers, raised where things happen and copied into metrics at a scrape.
 */

/** Why something a client sent went no further. */
export const dropReasons = [
  /** Not one JSON object, or not UTF-8. */
  "malformed",
  /** A field of the wrong type or range. */
  "bad_field",
  /** The other side is not there, nor left recently. */
  "no_peer",
  /** The hold for an absent side is full. */
  "hold_full",
  /** To be held, from a client that has its share of all that is held. */
  "hold_share",
  /** Held for a side that did not come back in time. */
  "hold_expired",
  /** Held from or for a negotiation that was started anew. */
  "stale",
  /** The mailbox, or the space for all mail, is full. */
  "mailbox_full",
  /** Mail from a client that has its share of the space for all mail. */
  "mail_share",
  /** Mail that was still stored when its room was forgotten. */
  "room_forgotten",
  /** The sender's seat was another connection's by then. */
  "replaced",
  /** Unsent to a connection that was closed for not reading. */
  "slow_peer",
  /** Queued by a newcomer that did not get a seat. */
  "parked",
  /** The runtime refused to queue a frame: a bug, it must stay 0. */
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

/** Why an upgrade or a request was turned away. */
export const refusals = [
  "bad_request",
  "origin",
  "not_upgrade",
  "rate_limited",
  /** A client, or a site, that missed too many codes. */
  "guesses",
  "codes_per_client",
  "sockets_per_client",
  "sockets_full",
  "rooms_full",
  /** A client that has its share of the rooms that were not minted here. */
  "rooms_share",
  "codes_full",
  "draining",
  "gone",
  /** A right code, at whose length too many wrong ones were tried. */
  "withdrawn",
  "ice",
  /** The store was unreachable, or full. */
  "unreachable",
] as const;
export type Refusal = (typeof refusals)[number];

/** How many digits a code can have. */
export type CodeDigits = 4 | 5 | 6 | 7 | 8;
/** What a shared store says no with. */
const storeRefusals = [
  /** It has no space for what would be added. */
  "full",
  /** It is no primary any more. */
  "replica",
  /** Fewer replicas follow than it wants for a write (`min-replicas-to-write`). */
  "no_replicas",
  /** It cannot write to its disk. */
  "disk",
  "loading",
  /** It runs somebody's script that does not end. */
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

/** A histogram as plain numbers: counts a bucket (not cumulative; the last is +Inf) and the sum. */
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

function zeroes<const K extends string>(keys: readonly K[]): Record<K, number> {
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
  /** Requests that a trusted proxy sent on and whose client is not known. */
  readonly unknownClients = { missing: 0, unreadable: 0 };
  readonly takeovers = { same_sid: 0, dead: 0 };
  codesMinted = 0;
  codesRedeemed = 0;
  /** Redeems of codes that were unknown, used or expired. */
  readonly codeMisses: Record<CodeDigits, number> = { 4: 0, 5: 0, 6: 0, 7: 0, 8: 0 };
  pairs = 0;
  readonly established = zeroes(iceModes);
  readonly failed = zeroes(iceFailures);
  readonly firstFlowSeconds = new Distribution(firstFlowBounds);
  /** The shared store; a server alone has none. */
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

  /**
   * Everything done for clients, by number: connections, codes and frames, large ones and those that
   * were queued in vain for what they leave behind.
   */
  work(): number {
    const bytes = this.frameSizeIn.sum + bytesADroppedFrame * this.drops.parked;
    let frames = bytes / bytesOfWork;
    for (const count of this.frameSizeIn.counts) frames += count;
    return this.connections + this.codesMinted + this.codesRedeemed + frames;
  }
}

/** So many bytes of large frames leave as much garbage as a small frame does. */
const bytesOfWork = 4_096;
/** Frames that were queued and dropped are not measured: this is what a large one has. */
const bytesADroppedFrame = 65_536;

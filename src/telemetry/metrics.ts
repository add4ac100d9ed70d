import { collectDefaultMetrics, type Metric, Registry } from "prom-client";
import type { Clock } from "../base/clock.ts";
import type { Ledger } from "../base/ledger.ts";
import { version } from "../base/version.ts";
import type { Sizes } from "../engine/engine.ts";
import { closeReasons } from "../protocol/closes.ts";
import { frameTypes } from "../protocol/frames.ts";
import {
  codeDigits,
  Distribution,
  dropReasons,
  iceFailures,
  iceModes,
  namesOf,
  refusals,
  storeRefusals,
  type Tally,
  takeoverReasons,
  unknownClientFaults,
} from "./tally.ts";

export type Metrics = ReturnType<typeof metrics>;

/** Series that stay 0 on Bun, the version of Node.js that Bun imitates, and memory that is only reserved. */
const meaningless =
  /^(?:nodejs_(?:gc|active|heap_space|version)_|process_(?:virtual_memory|heap)_bytes$)/;

/** Sources of the numbers that are not in the tally. What each counts, its row says below. */
interface Sources {
  /** Which of several nodes this is; undefined for a server without Redis. */
  readonly node: string | undefined;
  /** Undefined while Redis is unreachable: its series are left out then. */
  readonly sizes: () => Sizes | undefined;
  readonly limiters: Readonly<
    Record<(typeof limiter)[number], { size(): number; uncounted(): number }>
  >;
  readonly fairQueue: {
    waiting(kind?: "large"): number;
    readonly largeMs: number;
    readonly queued: Pick<Ledger, "used">;
  };
  readonly socketLedger: Pick<Ledger, "used" | "clients" | "most">;
  readonly connections: { size(): number; refused(): number };
  readonly requests: { deferred(): number };
  readonly sharedClients: () => number;
  readonly rendezvous: {
    guessing(): { readonly recentMisses: number; readonly shows: boolean; readonly digits: number };
  };
  readonly clock: Pick<Clock, "monotonicMs">;
  /** How old a text may be that is served again, ms. */
  readonly metricsAgeMs: number;
}

/** A number, or one for each value of the first label, and so on. Undefined: not known now. */
type Reading = number | Distribution | undefined | { readonly [value: string]: Reading };

interface Row {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly read: (tally: Tally, parts: Sources & { readonly held: Sizes | undefined }) => Reading;
  /** Each label with all of its values; without values where it states a fact of the server. */
  readonly labels: Readonly<Record<string, readonly (string | number)[]>>;
}

const row =
  (kind: Row["kind"]) =>
  (help: string, read: Row["read"], labels: Row["labels"] = {}): Row => {
    return { kind, help, read, labels };
  };
const [counter, gauge, histogram] = [row("counter"), row("gauge"), row("histogram")];
/** Counted by the engine. */
const size = (help: string, part: keyof Sizes) => gauge(help, (_, { held }) => held?.[part]);

const dir = ["in", "out"];
const type = frameTypes;
const limiter = ["http", "ws", "ice", "ice_side"] as const;

/**
 * The reference server's metrics under their names, and more. Nothing is counted here: each number
 * is read from its place when Prometheus asks, so every series exists, at 0, from the start.
 */
export const ownMetrics: Readonly<Record<string, Row>> = {
  nt_ws_connections_total: counter("WebSocket connections opened", (t) => t.connections),
  nt_ws_messages_total: counter("Frames received, by type", (t) => t.framesIn, { type }),
  nt_signal_messages_total: counter("Frames received, by type", (t) => t.framesIn, { type }),
  nt_signal_bytes_total: counter(
    "Bytes of frames, by direction and type",
    (t) => ({ in: t.bytesIn, out: t.bytesOut }),
    { dir, type },
  ),
  nt_ws_frame_bytes: histogram(
    "Sizes of frames, by direction",
    (t) => ({ in: t.frameSizeIn, out: t.frameSizeOut }),
    { dir },
  ),
  nt_ws_rtt_seconds: histogram("Round trips of pings", (t) => t.roundTripSeconds),
  nt_drops_total: counter(
    "Frames and mails from clients that were dropped, by reason",
    (t) => t.drops,
    { reason: namesOf(dropReasons) },
  ),
  nt_closes_total: counter("Connections ended, by reason", (t) => t.closes, {
    reason: namesOf(closeReasons),
  }),
  nt_refusals_total: counter("Requests and upgrades refused, by reason", (t) => t.refusals, {
    reason: refusals,
  }),
  nt_takeovers_total: counter("Occupied seats given to a newcomer, by reason", (t) => t.takeovers, {
    reason: takeoverReasons,
  }),
  nt_ws_buffered_bytes: gauge("Unsent bytes in all sockets", (t) => t.bufferedBytes),
  nt_ws_queued_bytes: gauge(
    "Bytes of frames that wait to be handled",
    (_, parts) => parts.fairQueue.queued.used,
  ),
  nt_ws_share_waiting: gauge(
    "Clients and sites whose frames wait for their share of the work",
    (_, parts) => parts.fairQueue.waiting(),
  ),
  nt_ws_large_waiting: gauge(
    "Clients and sites whose large frames wait for their turn",
    (_, parts) => parts.fairQueue.waiting("large"),
  ),
  nt_ws_large_seconds_total: counter(
    "Time spent on frames of more than 16 KiB",
    (_, parts) => parts.fairQueue.largeMs / 1000,
  ),
  nt_ws_paused: gauge("Sockets not read while their peer catches up", (t) => t.pausedSockets),
  nt_ws_without_room: gauge("Sockets that have not asked for a room yet", (t) => t.roomlessSockets),
  nt_ws_parked: gauge("Newcomers waiting for a seat", (t) => t.parkedSockets),

  nt_session_established_total: counter("Sessions established, by mode", (t) => t.established, {
    mode: iceModes,
  }),
  nt_session_failed_total: counter("Sessions failed, by reason", (t) => t.failed, {
    reason: iceFailures,
  }),
  nt_session_time_to_first_flow_seconds: histogram(
    "From room start to established",
    (t) => t.firstFlowSeconds,
  ),

  nt_codes_minted_total: counter("Codes minted", (t) => t.codesMinted),
  nt_codes_redeemed_total: counter("Codes redeemed", (t) => t.codesRedeemed),
  nt_code_misses_total: counter(
    "Redeems of unknown, used or expired codes, by digits",
    (t) => t.codeMisses,
    { digits: codeDigits },
  ),
  nt_code_misses_recent: gauge(
    "Failed redeems in this REDEEM_WINDOW and the one before",
    (_, parts) => parts.rendezvous.guessing().recentMisses,
  ),
  nt_codes_guessed: gauge("1 while failed redeems are too many for mistyped codes", (_, parts) =>
    parts.rendezvous.guessing().shows ? 1 : 0,
  ),
  nt_code_digits: gauge(
    "Digits of the shortest new code, given recent failed redeems",
    (_, parts) => parts.rendezvous.guessing().digits,
  ),
  nt_pairs_total: counter("Times that both sides of a room came together", (t) => t.pairs),
  nt_codes_live: size("Codes that can be redeemed", "codesLive"),
  nt_codes_resting: size("Codes used or expired, not yet free", "codesResting"),
  nt_code_clients: size("Clients and sites that hold codes", "codeClients"),
  nt_rooms_active: size("Rooms", "rooms"),
  nt_peers_active: size("Seats taken", "peers"),
  nt_mailboxes: size("Mailboxes", "mailboxes"),
  nt_mails: size("Mails stored", "mails"),
  nt_mailbox_bytes: size("Bytes of stored mail", "mailBytes"),
  nt_mail_id_bytes: size("Bytes of remembered ids of mail", "idBytes"),
  nt_held_frames: size("Frames held for absent sides", "heldFrames"),
  nt_held_bytes: size("Bytes of held frames", "heldBytes"),
  nt_stream_bytes: size(
    "Bytes of frames and events in Redis that nodes have not read",
    "streamBytes",
  ),
  nt_guessers: size(
    "Clients and sites whose failed redeems are remembered, at most 100,000",
    "guessers",
  ),
  nt_join_seconds: histogram("From a newcomer's upgrade to its seat", (t) => t.joinSeconds),
  nt_ws_open: gauge("Sockets open", (_, parts) => parts.socketLedger.used),
  nt_ws_max: gauge("Sockets that may be open", (_, parts) => parts.socketLedger.most),
  nt_ws_clients: gauge("Clients with a socket", (_, parts) => parts.socketLedger.clients),
  nt_http_connections: gauge(
    "HTTP connections kept for a next request; some may have ended",
    (_, parts) => parts.connections.size(),
  ),
  nt_http_unkept_total: counter(
    "Answers that ended their connection because of the limit for a client or for all",
    (_, parts) => parts.connections.refused(),
  ),
  nt_http_idle_closed_total: counter(
    "Idle HTTP connections closed to get descriptors back",
    (t) => t.idleClosed,
  ),
  nt_shared_clients: gauge(
    "Proxies that send a client address and are not in TRUST_PROXY",
    (_, parts) => parts.sharedClients(),
  ),
  nt_unknown_clients_total: counter(
    "Requests of trusted proxies that do not name the client, by what is wrong with the header",
    (t) => t.unknownClients,
    { fault: unknownClientFaults },
  ),
  nt_build_info: gauge(
    "Version, runtime, engine and node",
    (_, { node }) => ({
      [version]: { [Bun.version]: node === undefined ? { memory: 1 } : { redis: { [node]: 1 } } },
    }),
    { version: [], bun: [], engine: [], node: [] },
  ),
  nt_limiter_keys: gauge(
    "Clients and sites that a rate limit counts",
    (_, { limiters }) => mapped(limiters, (each) => each.size()),
    { limiter },
  ),
  nt_limiter_uncounted_total: counter(
    "Requests and upgrades not counted, because the rate limit counts too many clients already",
    (_, { limiters }) => mapped(limiters, (each) => each.uncounted()),
    { limiter },
  ),
  nt_http_deferred_total: counter(
    "Requests that waited for the next turn of the event loop",
    (_, parts) => parts.requests.deferred(),
  ),
};

/** With Redis only. */
export const storeMetrics: Readonly<Record<string, Row>> = {
  nt_store_up: gauge("1 while Redis is connected and its messages arrive", ({ store }) =>
    store.isUp ? 1 : 0,
  ),
  nt_store_reconnects_total: counter("Reconnections to Redis", (t) => t.store.reconnects),
  nt_store_refusals_total: counter(
    "Commands that Redis refused, by kind",
    (t) => t.store.refusals,
    { kind: storeRefusals },
  ),
  nt_store_round_trip_seconds: histogram("Round trips to Redis", (t) => t.store.roundTripSeconds),
};

export function metrics({ tally, ...sources }: Sources & { readonly tally: Tally }) {
  const { node, sizes, clock, metricsAgeMs } = sources;
  const registry = new Registry();
  // Samples the event loop every 100 ms; the default of 10 ms costs 0.6 % of a core while idle.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  for (const { name } of registry.getMetricsAsArray()) {
    if (meaningless.test(name)) registry.removeSingleMetric(name);
  }
  /** Taken once a scrape: it may walk all rooms. */
  let held = sizes();
  const rows = node === undefined ? ownMetrics : { ...ownMetrics, ...storeMetrics };
  for (const [name, row] of Object.entries(rows)) {
    publish(registry, name, row, () => row.read(tally, { ...sources, held }));
  }

  let kept: Promise<string> | undefined;
  let keptSince = 0;
  return {
    /** The Prometheus text format, at most `metricsAgeMs` old: it takes milliseconds to make. */
    text(): Promise<string> {
      if (kept !== undefined && clock.monotonicMs() - keptSince < metricsAgeMs) return kept;
      held = sizes();
      keptSince = clock.monotonicMs();
      kept = registry.metrics();
      return kept;
    },
    contentType: registry.contentType,
  };
}

/**
 * prom-client's own metrics keep the counts themselves. Its registry needs of a metric only what is
 * here, but its types name its own classes only, hence the cast.
 */
function publish(registry: Registry, name: string, row: Row, read: () => Reading): void {
  const { kind: type, help, labels } = row;
  const values = () =>
    samples(read(), Object.keys(labels)).map(({ value, labels, suffix = "" }) => ({
      metricName: name + suffix,
      value,
      labels,
    }));
  const metric = { name, get: () => Promise.resolve({ name, help, type, values: values() }) };
  registry.registerMetric(metric as unknown as Metric);
}

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Follows the metric's name: a histogram has series of three names. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

function samples(
  reading: Reading,
  names: readonly string[],
  labels: Sample["labels"] = {},
): readonly Sample[] {
  if (reading === undefined) return [];
  if (typeof reading === "number") return [{ value: reading, labels }];
  if (reading instanceof Distribution) return buckets(reading, labels);
  const [name = "", ...others] = names;
  return Object.entries(reading).flatMap(([value, part]) =>
    samples(part, others, { ...labels, [name]: value }),
  );
}

/** Prometheus' buckets are cumulative, and the last counts everything. */
function buckets({ bounds, counts, sum }: Distribution, labels: Sample["labels"]): Sample[] {
  let count = 0;
  const all: Sample[] = counts.map((inBucket, i) => {
    count += inBucket;
    return { suffix: "_bucket", value: count, labels: { ...labels, le: bounds[i] ?? "+Inf" } };
  });
  all.push({ suffix: "_sum", value: sum, labels });
  all.push({ suffix: "_count", value: count, labels });
  return all;
}

function mapped<T>(each: Readonly<Record<string, T>>, read: (one: T) => number): Reading {
  return Object.fromEntries(Object.entries(each).map(([key, one]) => [key, read(one)]));
}

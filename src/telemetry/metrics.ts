import { collectDefaultMetrics, type Metric, Registry } from "prom-client";
import type { Sizes } from "../engine/engine.ts";
import type { Distribution, Tally } from "./tally.ts";

export type Metrics = ReturnType<typeof metrics>;

/** Series of Node.js that stay 0 on Bun, its version of Node.js, and memory that is only reserved. */
const meaningless =
  /^(?:nodejs_(?:gc|active|heap_space|version)_|process_(?:virtual_memory|heap)_bytes$)/;

/**
 * The reference server's metrics under their names, and more. Nothing is counted here: each series
 * is read from its place when Prometheus asks, so it exists, at 0, from the start.
 */
export function metrics(options: {
  readonly tally: Tally;
  /** Undefined while a shared store is unreachable: its series are left out then. */
  readonly sizes: () => Sizes | undefined;
  /** Accounts each limiter counts apart right now, and what it could not count apart so far. */
  readonly limiters: () => Readonly<Record<string, { size(): number; uncounted(): number }>>;
  /** Bytes of frames that wait to be handled. */
  readonly queuedBytes: () => number;
  /** Clients and sites that wait for their share of the work; ms that large frames took so far. */
  readonly fairQueue: {
    waiting(kind?: "large"): number;
    readonly largeMs: number;
  };
  /** Requests that had to wait for the end of a turn that had many already. */
  readonly deferredRequests: () => number;
  /** Monotonic, ms. */
  readonly monotonicMs: () => number;
  /** How long one text is served before the next is made, ms. */
  readonly maxAgeMs: number;
  /** What the process is and how much it may hold. */
  readonly process: {
    readonly version: string;
    readonly bun: string;
    readonly engine: "memory" | "redis";
    /** Which of several nodes this is; undefined for a server alone. */
    readonly node?: string | undefined;
    /** Sockets that may be open at a time. */
    readonly maxSockets: number;
    readonly sockets: () => number;
    readonly socketClients: () => number;
    /** Addresses that count as shared: proxies that TRUST_PROXY does not name. */
    readonly sharedClients: () => number;
    /** HTTP connections that are kept, and requests whose connection was not, because of a limit. */
    readonly httpConnections: { readonly size: () => number; readonly refused: () => number };
    /** What wrong codes have come to. */
    readonly guessing: () => {
      readonly recentMisses: number;
      readonly shows: boolean;
      readonly digits: number;
    };
  };
}) {
  const { tally, sizes, limiters, process, monotonicMs, maxAgeMs } = options;
  const registry = new Registry();
  // Samples the event loop every 100 ms; the default of 10 ms costs 0.6 % of a core while idle.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  for (const { name } of registry.getMetricsAsArray()) {
    if (meaningless.test(name)) registry.removeSingleMetric(name);
  }

  /** Taken once a scrape: it may walk all rooms. */
  let held = sizes();

  const counter = (name: string, help: string, read: () => readonly Sample[]) =>
    publish(registry, { name, help, type: "counter", read });
  const gauge = (name: string, help: string, read: () => readonly Sample[]) =>
    publish(registry, { name, help, type: "gauge", read });
  /** A part of what is held. */
  const size = (name: string, help: string, part: keyof Sizes) =>
    gauge(name, help, () => (held === undefined ? [] : one(held[part])));
  const histogram = (name: string, help: string, read: () => readonly Sample[]) =>
    publish(registry, { name, help, type: "histogram", read });

  counter("nt_ws_connections_total", "WebSocket connections opened", () => one(tally.connections));
  counter("nt_ws_messages_total", "Frames received, by type", () => by("type", tally.framesIn));
  counter("nt_signal_messages_total", "Frames received, by type", () => by("type", tally.framesIn));
  counter("nt_signal_bytes_total", "Bytes of frames, by direction and type", () => [
    ...by("type", tally.bytesIn, { dir: "in" }),
    ...by("type", tally.bytesOut, { dir: "out" }),
  ]);
  histogram("nt_ws_frame_bytes", "Sizes of frames, by direction", () => [
    ...buckets(tally.frameSizeIn, { dir: "in" }),
    ...buckets(tally.frameSizeOut, { dir: "out" }),
  ]);
  histogram("nt_ws_rtt_seconds", "Round trips of pings", () => buckets(tally.roundTripSeconds));
  counter("nt_drops_total", "Frames and mails from clients that were dropped, by reason", () =>
    by("reason", tally.drops),
  );
  counter("nt_closes_total", "Connections ended, by reason", () => by("reason", tally.closes));
  counter("nt_refusals_total", "Requests and upgrades refused, by reason", () =>
    by("reason", tally.refusals),
  );
  counter("nt_takeovers_total", "Occupied seats given to a newcomer, by reason", () =>
    by("reason", tally.takeovers),
  );
  gauge("nt_ws_buffered_bytes", "Unsent bytes in all sockets", () => one(tally.bufferedBytes));
  gauge("nt_ws_queued_bytes", "Bytes of frames that wait to be handled", () =>
    one(options.queuedBytes()),
  );
  gauge(
    "nt_ws_share_waiting",
    "Clients and sites whose frames wait for their share of the work",
    () => one(options.fairQueue.waiting()),
  );
  gauge("nt_ws_large_waiting", "Clients and sites whose large frames wait for their turn", () =>
    one(options.fairQueue.waiting("large")),
  );
  counter("nt_ws_large_seconds_total", "Time spent on frames of more than 16 KiB", () =>
    one(options.fairQueue.largeMs / 1000),
  );
  gauge("nt_ws_paused", "Sockets not read while their peer catches up", () =>
    one(tally.pausedSockets),
  );
  gauge("nt_ws_without_room", "Sockets that have not asked for a room yet", () =>
    one(tally.roomlessSockets),
  );
  gauge("nt_ws_parked", "Newcomers waiting for a seat", () => one(tally.parkedSockets));

  counter("nt_session_established_total", "Sessions established, by mode", () =>
    by("mode", tally.established),
  );
  counter("nt_session_failed_total", "Sessions failed, by reason", () =>
    by("reason", tally.failed),
  );
  histogram("nt_session_time_to_first_flow_seconds", "From room start to established", () =>
    buckets(tally.firstFlowSeconds),
  );

  counter("nt_codes_minted_total", "Codes minted", () => one(tally.codesMinted));
  counter("nt_codes_redeemed_total", "Codes redeemed", () => one(tally.codesRedeemed));
  counter("nt_code_misses_total", "Redeems of unknown, used or expired codes, by digits", () =>
    by("digits", tally.codeMisses),
  );
  gauge("nt_code_misses_recent", "Failed redeems in this REDEEM_WINDOW and the one before", () =>
    one(process.guessing().recentMisses),
  );
  gauge("nt_codes_guessed", "1 while failed redeems are more than mistyping explains", () =>
    one(process.guessing().shows ? 1 : 0),
  );
  gauge("nt_code_digits", "Digits of the shortest new code, given recent failed redeems", () =>
    one(process.guessing().digits),
  );
  counter("nt_pairs_total", "Times that both sides of a room came together", () =>
    one(tally.pairs),
  );
  size("nt_codes_live", "Codes that can be redeemed", "codesLive");
  size("nt_codes_resting", "Codes used or expired, not yet free", "codesResting");
  size("nt_code_clients", "Clients and sites that hold codes", "codeClients");
  size("nt_rooms_active", "Rooms", "rooms");
  size("nt_peers_active", "Seats taken", "peers");
  size("nt_mailboxes", "Mailboxes", "mailboxes");
  size("nt_mails", "Mails stored", "mails");
  size("nt_mailbox_bytes", "Bytes of stored mail", "mailBytes");
  size("nt_mail_id_bytes", "Bytes of remembered ids of mail", "idBytes");
  size("nt_held_frames", "Frames held for absent sides", "heldFrames");
  size("nt_held_bytes", "Bytes of held frames", "heldBytes");
  size("nt_ring_bytes", "Bytes of frames that Redis keeps until they have arrived", "ringBytes");
  size(
    "nt_guessers",
    "Clients and sites whose failed redeems are remembered, at most 100,000",
    "guessers",
  );
  histogram("nt_join_seconds", "From a newcomer's upgrade to its seat", () =>
    buckets(tally.joinSeconds),
  );
  gauge("nt_ws_open", "Sockets open", () => one(process.sockets()));
  gauge("nt_ws_max", "Sockets that may be open", () => one(process.maxSockets));
  gauge("nt_ws_clients", "Clients with a socket", () => one(process.socketClients()));
  gauge("nt_http_connections", "HTTP connections kept for a next request, at most", () =>
    one(process.httpConnections.size()),
  );
  counter(
    "nt_http_unkept_total",
    "Answers that ended their connection because a client, or all, had as many as they may",
    () => one(process.httpConnections.refused()),
  );
  counter("nt_http_idle_closed_total", "Idle HTTP connections closed to get descriptors back", () =>
    one(tally.idleClosed),
  );
  gauge("nt_shared_clients", "Proxies that send a client address and are not in TRUST_PROXY", () =>
    one(process.sharedClients()),
  );
  counter(
    "nt_unknown_clients_total",
    "Requests of trusted proxies whose client counts as shared: its header is missing or unreadable",
    () => by("fault", tally.unknownClients),
  );
  const { version, bun, engine, node } = process;
  const build = { version, bun, engine, ...(node === undefined ? {} : { node }) };
  gauge("nt_build_info", "Version, runtime, engine and node", () => [{ value: 1, labels: build }]);
  gauge("nt_limiter_keys", "Clients and sites a rate limit counts apart", () =>
    ofEach("limiter", limiters(), (limiter) => limiter.size()),
  );
  counter(
    "nt_limiter_uncounted_total",
    "Passages of clients that a full rate limit could not count",
    () => ofEach("limiter", limiters(), (limiter) => limiter.uncounted()),
  );
  counter("nt_http_deferred_total", "Requests that waited because one turn had too many", () =>
    one(options.deferredRequests()),
  );

  if (engine === "redis") {
    const { store } = tally;
    gauge("nt_store_up", "1 while Redis is connected and its messages arrive", () =>
      one(store.isUp ? 1 : 0),
    );
    counter("nt_store_reconnects_total", "Times that Redis was reconnected", () =>
      one(store.reconnects),
    );
    counter("nt_store_refusals_total", "Commands that Redis refused, by kind", () =>
      by("kind", store.refusals),
    );
    histogram("nt_store_round_trip_seconds", "Round trips to Redis", () =>
      buckets(store.roundTripSeconds),
    );
  }

  let kept: Promise<string> | undefined;
  let keptSince = 0;
  return {
    /** The Prometheus text format, at most `maxAgeMs` old: it takes milliseconds to make. */
    text(): Promise<string> {
      if (kept !== undefined && monotonicMs() - keptSince < maxAgeMs) return kept;
      held = sizes();
      keptSince = monotonicMs();
      kept = registry.metrics();
      return kept;
    },
    contentType: registry.contentType,
  };
}

type Labels = Readonly<Record<string, string | number>>;

interface Sample {
  readonly value: number;
  readonly labels: Labels;
  /** Follows the metric's name: a histogram has series of three names. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly read: () => readonly Sample[];
}

/**
 * prom-client's own metrics keep the counts themselves. Its registry needs no more of a metric than
 * what stands here, but its types name its own classes only, hence the cast.
 */
function publish(registry: Registry, { name, help, type, read }: Reading): void {
  const values = () =>
    read().map(({ value, labels, suffix = "" }) => ({ metricName: name + suffix, value, labels }));
  const metric = { name, get: () => Promise.resolve({ name, help, type, values: values() }) };
  registry.registerMetric(metric as unknown as Metric);
}

function one(value: number): readonly Sample[] {
  return [{ value, labels: {} }];
}

function ofEach<T>(
  label: string,
  each: Readonly<Record<string, T>>,
  read: (one: T) => number,
): readonly Sample[] {
  return Object.entries(each).map(([key, one]) => ({ value: read(one), labels: { [label]: key } }));
}

function by(label: string, counts: Readonly<Record<string, number>>, rest: Labels = {}): Sample[] {
  return Object.entries(counts).map(([key, value]) => ({
    value,
    labels: { ...rest, [label]: key },
  }));
}

/** Prometheus' buckets are cumulative, and the last counts everything. */
function buckets({ bounds, counts, sum }: Distribution, labels: Labels = {}): Sample[] {
  let count = 0;
  const samples: Sample[] = counts.map((inBucket, i) => {
    count += inBucket;
    return { suffix: "_bucket", value: count, labels: { ...labels, le: bounds[i] ?? "+Inf" } };
  });
  samples.push({ suffix: "_sum", value: sum, labels });
  samples.push({ suffix: "_count", value: count, labels });
  return samples;
}

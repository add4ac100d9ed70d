import { expect, test } from "bun:test";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { metrics, ownMetrics } from "../../src/telemetry/metrics.ts";
import { Distribution, Tally } from "../../src/telemetry/tally.ts";

const nothing = memoryEngine({
  now: () => 0,
  limits: {
    roomTtlMs: 1,
    redeemWindowMs: 1,
    relayHoldMs: 1,
    maxRooms: 1,
    holdMaxFrames: 1,
    holdMaxBytes: 1,
    mailboxMaxMails: 1,
    mailboxMaxBytes: 1,
    mailTotalBytes: 1,
  },
  dropped: () => undefined,
}).sizes();

function server(engine: "memory" | "redis" = "memory") {
  const tally = new Tally();
  const state = { sizes: nothing, limiterSize: 0, monotonicMs: 0, walks: 0 };
  const limiter = { size: () => state.limiterSize, uncounted: () => 0 };
  const { text, contentType } = metrics({
    tally,
    sizes: () => {
      state.walks++;
      return state.sizes;
    },
    limiters: () => ({ http: limiter, ws: limiter, ice: limiter, ice_side: limiter }),
    deferredRequests: () => 0,
    queuedBytes: () => 0,
    fairQueue: { waiting: () => 0, largeMs: 0 },
    monotonicMs: () => state.monotonicMs,
    maxAgeMs: 1_000,
    process: {
      version: "0",
      bun: "0",
      engine,
      maxSockets: 1,
      sockets: () => 0,
      socketClients: () => 0,
      sharedClients: () => 0,
      httpConnections: { size: () => 0, refused: () => 0 },
      guessing: () => ({ recentMisses: 0, shows: false, digits: 4 }),
    },
  });
  /** The value of one series, such as `nt_mails` or `nt_drops_total{reason="stale"}`. */
  async function value(series: string): Promise<number> {
    state.monotonicMs += 1_000;
    const line = (await text()).split("\n").find((each) => each.startsWith(`${series} `));
    if (line === undefined) throw new Error(`There is no series ${series}.`);
    return Number(line.slice(series.length));
  }
  return { tally, state, text, contentType, value };
}

test("every series is there from the start, at 0, with the documented labels and no others", async () => {
  const { text } = server();
  const lines = (await text()).split("\n").filter((line) => line.startsWith("nt_"));
  const names = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
  const facts = /^nt_(build_info\{|ws_max |code_digits )/;
  expect(lines.filter((line) => !line.endsWith(" 0") && !facts.test(line))).toEqual([]);
  expect(lines).toContain('nt_build_info{version="0",bun="0",engine="memory"} 1');
  const documented = Object.entries(ownMetrics).flatMap(([name, { kind, labels }]) =>
    seriesOf(kind === "histogram" ? `${name}_sum` : name, Object.entries(labels)),
  );
  const own = names.filter((name) => !/_(?:bucket|count)\b|^nt_build_info/.test(name));
  expect(own.toSorted()).toEqual(documented.toSorted());
});

/** Each combination of label values as a series. */
function seriesOf(name: string, labels: [string, readonly (string | number)[]][]): string[] {
  let series = [""];
  for (const [label, values] of labels) {
    series = series.flatMap((done) => values.map((value) => `${done},${label}="${value}"`));
  }
  return series.map((done) => (done === "" ? name : `${name}{${done.slice(1)}}`));
}

test("every count of the tally is in a metric", async () => {
  const { tally, text } = server("redis");
  const counts = new Set<number>();
  fill(tally, counts);
  const shown = [...(await text()).matchAll(/ (\d+)$/gm)].map(([, value]) => Number(value));
  expect(counts.size).toBeGreaterThan(50);
  expect([...counts.difference(new Set(shown))]).toEqual([]);
});

/** Gives every count, and every sum of a distribution, a value of its own. */
function fill(part: object, counts: Set<number>): void {
  for (const [key, value] of Object.entries(part)) {
    const count = 7_000_000 + counts.size;
    if (value instanceof Distribution) value.observe(count);
    else if (typeof value === "number") Object.assign(part, { [key]: count });
    else if (typeof value === "object") fill(value, counts);
    if (value instanceof Distribution || typeof value === "number") counts.add(count);
  }
}

test("counts show what was counted up to the scrape, however often it comes", async () => {
  const { tally, value } = server();
  tally.connections += 3;
  tally.framesIn.offer += 2;
  tally.bytesOut.offer += 600;
  expect(await value("nt_ws_connections_total")).toBe(3);
  expect(await value("nt_ws_connections_total")).toBe(3);
  expect(await value('nt_ws_messages_total{type="offer"}')).toBe(2);
  expect(await value('nt_signal_bytes_total{dir="out",type="offer"}')).toBe(600);
  expect(await value('nt_signal_bytes_total{dir="in",type="offer"}')).toBe(0);
  tally.connections++;
  expect(await value("nt_ws_connections_total")).toBe(4);
});

test("gauges show what the engine holds at the scrape", async () => {
  const { state, tally, value } = server();
  state.sizes = { ...nothing, rooms: 7, peers: 13, codesResting: 5, mailBytes: 4_096 };
  state.limiterSize = 9;
  tally.pausedSockets = 1;
  expect(await value("nt_rooms_active")).toBe(7);
  expect(await value("nt_peers_active")).toBe(13);
  expect(await value("nt_codes_resting")).toBe(5);
  expect(await value("nt_mailbox_bytes")).toBe(4_096);
  expect(await value('nt_limiter_keys{limiter="ws"}')).toBe(9);
  expect(await value("nt_ws_paused")).toBe(1);
});

test("however often it is asked for, the text is made once a second, and is never older", async () => {
  const { state, tally, text } = server();
  state.walks = 0;
  for (let second = 1; second <= 3; second++) {
    state.monotonicMs += 1_000;
    tally.pairs++;
    const texts = await Promise.all(Array.from({ length: 100 }, text));
    state.monotonicMs += 999;
    texts.push(await text());
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain(`\nnt_pairs_total ${second}\n`);
    state.monotonicMs += 1;
  }
  expect(state.walks).toBe(3);
});

test("histogram buckets are cumulative and end with all there is", async () => {
  const { tally, value } = server();
  for (const bytes of [10, 64, 65, 300, 5_000_000]) tally.frameSizeIn.observe(bytes);
  const bucket = (le: string) => value(`nt_ws_frame_bytes_bucket{dir="in",le="${le}"}`);
  expect(await bucket("64")).toBe(2);
  expect(await bucket("256")).toBe(3);
  expect(await bucket("1024")).toBe(4);
  expect(await bucket("1048576")).toBe(4);
  expect(await bucket("+Inf")).toBe(5);
  expect(await value('nt_ws_frame_bytes_count{dir="in"}')).toBe(5);
  expect(await value('nt_ws_frame_bytes_sum{dir="in"}')).toBe(5_000_439);
  expect(await value('nt_ws_frame_bytes_count{dir="out"}')).toBe(0);
});

test("every name has one HELP, one TYPE and samples, as the text format demands", async () => {
  const { text, contentType } = server();
  const body = await text();
  expect(contentType).toStartWith("text/plain; version=0.0.4");
  expect(body).toEndWith("\n");
  expect(body).toContain("# TYPE nt_ws_frame_bytes histogram\n");
  expect(body).toContain("# TYPE nt_drops_total counter\n");
  expect(body).toContain("# TYPE nt_rooms_active gauge\n");
  const typed = [...body.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
  expect(new Set(typed).size).toBe(typed.length);
});

test("the process is described as well", async () => {
  const { value } = server();
  expect(await value("process_resident_memory_bytes")).toBeGreaterThan(0);
  expect(await value("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(await value("nodejs_heap_size_used_bytes")).toBeGreaterThan(0);
});

test("what Node.js would tell of itself and Bun cannot is left out", async () => {
  const names = [...(await server().text()).matchAll(/^# TYPE (?:nodejs|process)_(\w+)/gm)];
  expect(names.map(([, name]) => name)).not.toContainEqual(
    expect.stringMatching(/^(?:gc|active|heap_space|version|virtual|heap_bytes)/),
  );
});

test("two servers in one process don't share their numbers", async () => {
  const [one, other] = [server(), server()];
  one.tally.pairs++;
  expect(await one.value("nt_pairs_total")).toBe(1);
  expect(await other.value("nt_pairs_total")).toBe(0);
});

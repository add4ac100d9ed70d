import { expect, test } from "bun:test";
import { version } from "../../src/base/version.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { metrics, ownMetrics } from "../../src/telemetry/metrics.ts";
import { Distribution, Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";

const { sizes } = memoryEngine({ now: () => 0, limits: contractLimits, dropped() {} });

function server(engine: "memory" | "redis" = "memory") {
  const tally = new Tally();
  let monotonicMs = 0;
  const limiter = { size: () => 0, uncounted: () => 0 };
  const { text, contentType } = metrics({
    tally,
    node: engine === "redis" ? "n" : undefined,
    sizes,
    limiters: { http: limiter, ws: limiter, ice: limiter, ice_side: limiter },
    fairQueue: { waiting: () => 0, largeMs: 0, queued: { used: 0 } },
    socketLedger: { used: 0, clients: 0, most: 1 },
    connections: { size: () => 0, refused: () => 0 },
    requests: { deferred: () => 0 },
    sharedClients: () => 0,
    rendezvous: { guessing: () => ({ recentMisses: 0, shows: false, digits: 4 }) },
    clock: { monotonicMs: () => monotonicMs },
    metricsAgeMs: 1_000,
  });
  /** The value of one series, such as `nt_mails` or `nt_drops_total{reason="stale"}`. */
  async function value(series: string): Promise<number> {
    monotonicMs += 1_000;
    const line = (await text()).split("\n").find((each) => each.startsWith(`${series} `));
    if (line === undefined) throw new Error(`There is no series ${series}.`);
    return Number(line.slice(series.length));
  }
  return { tally, text, contentType, value };
}

test("every series is there from the start, at 0, with the documented labels and no others", async () => {
  const { text } = server();
  const lines = (await text()).split("\n").filter((line) => line.startsWith("nt_"));
  const names = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
  const facts = /^nt_(build_info\{|ws_max |code_digits )/;
  expect(lines.filter((line) => !line.endsWith(" 0") && !facts.test(line))).toEqual([]);
  expect(lines).toContain(
    `nt_build_info{version="${version}",bun="${Bun.version}",engine="memory"} 1`,
  );
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

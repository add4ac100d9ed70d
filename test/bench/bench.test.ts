import { expect, test } from "bun:test";
import { join } from "node:path";
import { $ } from "bun";
import { temporaryFolder } from "../support/folder.ts";
import { redisMissing } from "../support/redis.ts";
import { comparison, markdown, reportOf } from "./report.ts";
import { experiments } from "./rows.ts";
import { rowNames } from "./run.ts";
import { Latencies, spread } from "./statistics.ts";

const command = join(import.meta.dir, "bench.ts");

test("the quick benchmark does all its work, and loses nothing on the way", async () => {
  await using folder = await temporaryFolder();
  const out = folder.at("bench.json");
  const table = await $`${process.execPath} ${command} --quick --out ${out}`.quiet().text();
  const { results } = (await Bun.file(out).json()) as {
    results: { row: { name: string }; server: { median: number } }[];
  };
  const expected = rowNames.filter((name) => !redisMissing || !name.startsWith("nodes-"));
  expect(results.map(({ row }) => row.name)).toEqual(expected);
  for (const { row, server } of results) {
    expect([row.name, Number.isFinite(server.median)]).toEqual([row.name, true]);
  }
  expect(table.match(/^\| /gm)?.length).toBe(expected.length + 2);
}, 90_000);

test("a row that is none is told, with those there are", async () => {
  const run = await $`${process.execPath} ${command} --only relai`.quiet().nothrow();
  expect(run.exitCode).toBe(1);
  expect(run.stderr.toString()).toContain("There is no row relai. Rows: relay, relay-4k,");
});

test("a spread has the middle one, or the mean of the two in the middle", () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
});

test("latencies keep as many as they may, and tell quantiles", () => {
  const latencies = new Latencies(100);
  for (let ms = 200; ms > 0; ms--) latencies.add(ms);
  expect(latencies.size).toBe(100);
  expect([0, 0.5, 0.99, 1].map((share) => latencies.quantile(share))).toEqual([101, 151, 200, 200]);
});

test("an aim that was missed is said to be, against the floor or by itself", () => {
  const rows = experiments.flatMap((experiment) => experiment.rows);
  const result = (name: string, floor: number, server: number) => {
    const row = rows.find((one) => one.name === name);
    if (row === undefined) throw new Error(`There is no ${name}`);
    const ratio = spread([server / floor]);
    return { row, floor: spread([floor]), server: spread([server]), ratio };
  };
  const text = markdown(
    reportOf([result("relay", 10, 11), result("relay", 10, 12), result("memory", 5, 30)], 1),
  );
  expect(text.split("\n").slice(4)).toEqual([
    expect.stringContaining(
      "| 10.0 µs (10.0–10.0) | 11.0 µs (11.0–11.0) | 1.10 (1.10–1.10) | ≤ 1.15 × floor |",
    ),
    expect.stringContaining("| ≤ 1.15 × floor: missed |"),
    expect.stringContaining("| ≤ 20.0 MiB: missed |"),
  ]);
});

test("a comparison tells each row's change by itself, and apart from the day's speed", () => {
  const [row] = experiments[0]?.rows ?? [];
  if (row === undefined) throw new Error("There is no row");
  const report = (floor: number, server: number) =>
    reportOf(
      [{ row, floor: spread([floor]), server: spread([server]), ratio: spread([server / floor]) }],
      1,
    );
  const lines = comparison(report(10, 10), report(20, 22)).split("\n");
  expect(lines.slice(2)).toEqual([`| ${row.title} | 10.0 → 22.0 µs | 2.20 | 1.10 |`]);
});

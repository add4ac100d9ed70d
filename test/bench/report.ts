import { cpus, release } from "node:os";
import type { Aim, Row } from "./rows.ts";
import type { Result } from "./run.ts";
import type { Spread } from "./statistics.ts";
import { isPinned } from "./subject.ts";

export interface Report {
  readonly date: string;
  readonly machine: string;
  /** That the server had, or all nodes of it. */
  readonly serverCores: number;
  readonly bun: string;
  readonly reps: number;
  readonly results: readonly (Result & { readonly met: boolean })[];
}

export function reportOf(results: readonly Result[], reps: number): Report {
  const cores = cpus();
  const kept = isPinned ? "server and generator on a core each" : "not pinned to cores";
  const machine = `${cores.length} × ${cores[0]?.model.trim()}, Linux ${release()}, ${kept}`;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine,
    serverCores: isPinned ? 1 : cores.length,
    bun: Bun.version,
    reps,
    results: results.map((result) => ({ ...result, met: isMet(result) })),
  };
}

function isMet({ row: { aim }, server, ratio }: Result): boolean {
  return (aim.kind === "ratio" ? (ratio?.median ?? Number.NaN) : server.median) <= aim.limit;
}

/** A Markdown table, and in a line above it where and when. `other` stood in the floor's place. */
export function markdown(
  { date, machine, serverCores, bun, reps, results }: Report,
  other: "floor" | "other build" = "floor",
): string {
  const lines = [
    `${date}, ${machine}, Bun ${bun}; medians of ${reps} alternating runs (min–max).`,
    "",
    `| work | cores | ${other} | nt-signal | ratio | aim |`,
    "| --- | --- | --- | --- | --- | --- |",
    ...results.map(({ row, floor, server, ratio, met }) => {
      const cells = [
        row.title,
        String(serverCores),
        floor === undefined ? "" : told(floor, row.unit),
        told(server, row.unit),
        ratio !== undefined && Number.isFinite(ratio.median)
          ? `${number(ratio.median)} (${range(ratio)})`
          : "",
        other === "floor" ? `${aimText(row.aim, row.unit)}${met ? "" : ": missed"}` : "",
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ];
  return lines.join("\n");
}

/**
 * How an earlier report's figures became these: each row's own figure, and its ratio to the floor of
 * its own run, which the machine's speed of the day leaves alone. 1 is no change, less is better.
 */
export function comparison(earlier: Report, now: Report): string {
  const rows = now.results.flatMap(({ row, server, ratio }) => {
    const then = earlier.results.find((result) => result.row.name === row.name);
    if (then === undefined) return [];
    const cells = [
      row.title,
      `${number(then.server.median)} → ${number(server.median)} ${row.unit}`,
      number(server.median / then.server.median),
      ratio && then.ratio ? number(ratio.median / then.ratio.median) : "",
    ];
    return [`| ${cells.join(" | ")} |`];
  });
  const head = [
    `| work | ${earlier.date} → ${now.date} | change | change of the ratio to the floor |`,
    "| --- | --- | --- | --- |",
  ];
  return [...head, ...rows].join("\n");
}

function told(values: Spread, unit: Row["unit"]): string {
  return `${number(values.median)} ${unit} (${range(values)})`;
}

function range({ min, max }: Spread): string {
  return `${number(min)}–${number(max)}`;
}

function aimText({ kind, limit }: Aim, unit: Row["unit"]): string {
  return kind === "ratio" ? `≤ ${limit} × floor` : `≤ ${number(limit)} ${unit}`;
}

/** Three digits, or all before the point. */
function number(value: number): string {
  const size = Math.abs(value);
  const decimals = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}

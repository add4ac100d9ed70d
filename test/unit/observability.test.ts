import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireProgram } from "../support/program.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { testServer } from "../support/server.ts";

// An alert on a series that was renamed never fires, and nobody notices.

const deploy = join(import.meta.dir, "../../deploy");
const rulesFile = join(deploy, "prometheus-rules.yml");

test.skipIf(redisMissing)(
  "every series and label in the alert rules is one that the server tells",
  async () => {
    const { groups } = Bun.YAML.parse(await Bun.file(rulesFile).text()) as Rules;
    const rules = groups.flatMap((group) => group.rules);
    expect(rules.length).toBeGreaterThan(5);
    for (const rule of rules) {
      expect(rule.annotations).toMatchObject({ summary: expect.any(String) });
      expect(rule.annotations["description"]).toMatch(/[.?]$/);
    }
    expect(await unknownIn(rules.map(({ expr }) => expr))).toEqual([]);
  },
);

test.skipIf(redisMissing)(
  "every series and label in the dashboard is one that the server tells",
  async () => {
    const dashboard = (await Bun.file(join(deploy, "grafana-dashboard.json")).json()) as Dashboard;
    const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map((t) => t.expr));
    expect(expressions.length).toBeGreaterThan(20);
    const variables = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
    const notes = dashboard.annotations.list.map(({ expr }) => expr);
    expect(await unknownIn([...expressions, ...variables, ...notes])).toEqual([]);
  },
);

test("what all nodes tell alike is not summed over them", async () => {
  const { panels } = (await Bun.file(join(deploy, "grafana-dashboard.json")).json()) as Dashboard;
  const text = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)).join("\n");
  expect(text).not.toMatch(
    /sum\(nt_(?:peers_active|rooms_active|codes_|code_clients|guessers|mail|held_)\w*\{/,
  );
});

test("panels lie beside each other, each with a title and a number of its own", async () => {
  const { panels } = (await Bun.file(join(deploy, "grafana-dashboard.json")).json()) as Dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Set<string>();
  for (const { title, gridPos } of panels) {
    expect(title).not.toBe("");
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect([title, taken.has(`${x},${y}`)]).toEqual([title, false]);
        taken.add(`${x},${y}`);
      }
    }
  }
});

const promtool = requireProgram("promtool");

test.skipIf(promtool.missing)("Prometheus understands the rules, and alerts as told", async () => {
  await promtoolAccepts("check", "rules", rulesFile);
  const config = join(deploy, "observability/prometheus.yml");
  await promtoolAccepts("check", "config", "--syntax-only", config);
  const alerts = join(import.meta.dir, "prometheus-rules-test.yml");
  await promtoolAccepts("test", "rules", alerts);
});

test.skipIf(promtool.missing)("Prometheus understands what the dashboard asks", async () => {
  const { panels } = (await Bun.file(join(deploy, "grafana-dashboard.json")).json()) as Dashboard;
  // It checks expressions only as rules.
  const rules = panels.flatMap(({ id, targets = [] }) =>
    targets.map(({ expr }, i) => ({
      record: `panel:${id}:${i}`,
      expr: expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(job|instance)/g, ".+"),
    })),
  );
  const file = join(tmpdir(), `nt-signal-dashboard-${crypto.randomUUID()}.yml`);
  try {
    await Bun.write(file, Bun.YAML.stringify({ groups: [{ name: "dashboard", rules }] }));
    await promtoolAccepts("check", "rules", file);
  } finally {
    await rm(file, { force: true });
  }
});

async function promtoolAccepts(...args: readonly string[]): Promise<void> {
  const run = Bun.spawn([promtool.path, ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([run.stdout.text(), run.stderr.text()]);
  expect({ args, code: await run.exited, out, err }).toMatchObject({ code: 0 });
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: {
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly h: number;
    };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

/** What Prometheus itself adds. */
const ofPrometheus = { series: ["up"], labels: ["job", "instance"] };

/** The series of these expressions that `/metrics` has not, and the label values. */
async function unknownIn(expressions: readonly string[]): Promise<readonly string[]> {
  // A server on Redis tells all that one alone does, and more.
  await using redis = await TestRedis.start();
  await using server = await testServer({ REDIS_URL: redis.url, DRAIN: "0" });
  const lines = (await (await fetch(`${server.http}/metrics`)).text()).split("\n");
  const names = new Set(lines.map((line) => /^\w+/.exec(line)?.[0]));
  const typed = lines.flatMap((line) => /^# TYPE (\w+)/.exec(line)?.[1] ?? []);
  const known = (series: string) =>
    names.has(series) || typed.includes(series) || ofPrometheus.series.includes(series);
  const has = (series: string, label: string, wanted: string) =>
    lines.some((line) => {
      const value =
        line.startsWith(`${series}{`) && new RegExp(`[{,]${label}="([^"]*)"`).exec(line);
      return value && new RegExp(`^(?:${wanted})$`).test(value[1] ?? "");
    });

  const unknown: string[] = [];
  for (const expression of expressions) {
    const found = [...expression.matchAll(/\b((?:nt|process|nodejs)_\w+|up)\b(?:\{([^}]*)\})?/g)];
    if (found.length === 0) unknown.push(`no series in ${expression}`);
    for (const [, series = "", matchers = ""] of found) {
      if (!known(series)) unknown.push(series);
      for (const [, label = "", value = ""] of matchers.matchAll(/(\w+)=~?"([^"]*)"/g)) {
        if (ofPrometheus.labels.includes(label)) continue;
        for (const one of value.split("|")) {
          if (!has(series, label, one)) unknown.push(`${series}{${label}="${one}"}`);
        }
      }
    }
    for (const [, list = ""] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
      for (const label of list.split(",").map((text) => text.trim())) {
        if (ofPrometheus.labels.includes(label)) continue;
        if (!found.some(([, series = ""]) => has(series, label, ".*"))) {
          unknown.push(`by (${label}) in ${expression}`);
        }
      }
    }
  }
  return unknown;
}

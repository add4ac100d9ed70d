import { expect, test } from "bun:test";
import { dirname, join } from "node:path";

const root = join(import.meta.dir, "../..");

interface Source {
  /** From the root of the project: `src/ws/peer-socket.ts`. */
  readonly path: string;
  readonly text: string;
}

/** From the top down. A file may import from its own part and from the floors below. */
const floors: readonly (readonly string[])[] = [
  ["main"],
  ["cli"],
  ["server"],
  ["http", "ws", "page"],
  ["rendezvous", "signaling"],
  ["engine", "telemetry", "admission"],
  ["config", "protocol", "base", "client"],
];

/** Doors that the floors alone would close, and why they are open. */
const doors: readonly (readonly [from: RegExp, to: RegExp, why: string])[] = [
  [/^ws\//, /^http\/problem\.ts$/, "a refused upgrade is answered as any other refused request"],
  [/^telemetry\/metrics/, /^engine\/engine\.ts$/, "what an engine holds is told in its own words"],
  [/^config/, /^base\//, "settings are read into the types of the base"],
  [/^protocol\//, /^base\/ids\.ts$/, "frames name rooms and sides as the base does"],
  [/^base\/version\.ts$/, /^\.\.\/package\.json$/, "the version stands in one place"],
];

interface Home {
  readonly what: RegExp;
  readonly allowed: RegExp;
  readonly why: string;
}

/** Packages with one home each. */
const packages: readonly Home[] = [
  { what: /^hono(\/|$)/, allowed: /^http\//, why: "HTTP routing is the business of http/ alone" },
  {
    what: /^prom-client$/,
    allowed: /^telemetry\/metrics/,
    why: "everything else counts in plain numbers: prom-client costs too much on the hot path",
  },
];

/** Words with one home each, wherever they stand outside of comments. */
const words: readonly Home[] = [
  {
    what: /\bprocess\.env\b/,
    allowed: /^(main\.ts|cli\/)/,
    why: "settings come in as a Config, so that tests and embedders can choose them",
  },
  {
    what: /\bDate\.now\b|\bMath\.random\b|\bgetRandomValues\b|(?<!\.)\bset(Timeout|Interval)\b/,
    allowed: /^base\/clock\.ts$/,
    why: "time and chance come in through a Clock and a Random, so that tests can stand in",
  },
  {
    what: /\brandomUUID\b/,
    allowed: /^(base\/ids|signaling\/prober|telemetry\/connection-log)\.ts$/,
    why: "ids are made in base/ids.ts, and nonces where they are asked for",
  },
  {
    what: /\bBun\.serve\b/,
    allowed: /^server\/server\.ts$/,
    why: "there is one composition root, and it alone listens",
  },
  {
    what: /\bRedisClient\b/,
    allowed: /^engine\/redis/,
    why: "whatever the rules of signaling want of a store stands in the engine's contract",
  },
];

/** Every way in which these sources break the rules, with the reason for the rule. */
function violations(sources: readonly Source[]): readonly string[] {
  return sources.flatMap(({ path, text }) => {
    const file = path.replace(/^src\//, "");
    const code = withoutComments(text);
    const found = importsOf(code).map((specifier) => wrongImport(file, specifier));
    for (const { what, allowed, why } of isBrowserCode(file) ? [] : words) {
      const word = what.exec(code)?.[0];
      if (word !== undefined && !allowed.test(file)) found.push(`uses ${word}: ${why}`);
    }
    return found.filter((fault) => fault !== undefined).map((fault) => `src/${file} ${fault}`);
  });
}

function wrongImport(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) {
    const home = packages.find(({ what }) => what.test(specifier));
    if (home === undefined || home.allowed.test(file)) return undefined;
    return `imports ${specifier}: ${home.why}`;
  }
  const target = join(dirname(file), specifier);
  if (doors.some(([from, to]) => from.test(file) && to.test(target))) return undefined;
  const [from, to] = [partOf(file), partOf(target)];
  const [fromFloor, toFloor] = [floorOf(from), floorOf(to)];
  if (fromFloor === -1) return "stands on no floor: give its folder one in this test";
  if (toFloor === -1) return `imports ${target}, which stands on no floor`;
  if (isBrowserCode(file) && from !== to && to !== "client") {
    return `imports ${target}: what runs in a browser shares no code with the server`;
  }
  if (from === "engine") return wrongEngineImport(file, target);
  if (from === to || fromFloor < toFloor) return undefined;
  if (fromFloor === toFloor) {
    return `imports ${target}: ${from} and ${to} stand side by side and meet only above`;
  }
  return `imports ${target}: ${from} stands below ${to}, and imports go downward only`;
}

/**
 * The rules of a room know nothing but themselves: they run inside Redis too. An engine is a plug: it
 * knows its contract, the rules and the connections, and nothing of who uses it or of other engines.
 */
function wrongEngineImport(file: string, target: string): string | undefined {
  const engine = dirname(file);
  if (file === "engine/engine.ts" && target === "protocol/frames.ts") return undefined;
  const allowed = target === "engine/engine.ts" || target.startsWith("base/");
  if (allowed || (engine !== "engine" && dirname(target).startsWith(engine))) return undefined;
  const isShared = target === "engine/connections.ts" || target.startsWith("engine/rules/");
  if (isShared && engine !== "engine/rules") return undefined;
  return `imports ${target}: an engine knows its contract and the base, and nothing else`;
}

/** The page has its visitor's clock and no other. */
function isBrowserCode(file: string): boolean {
  return file.startsWith("page/") || file.startsWith("client/");
}

function partOf(file: string): string {
  return file.split("/")[0]?.replace(/\.ts$/, "") ?? "";
}

function floorOf(part: string): number {
  return floors.findIndex((parts) => parts.includes(part));
}

/** What is imported, exported from, or imported when needed; types too. */
function importsOf(code: string): readonly string[] {
  const importing = /\b(?:from|import|require)\s*\(?\s*["']([^"']+)["']/g;
  return Array.from(code.matchAll(importing), ([, specifier]) => specifier as string);
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}

async function sourcesOf(pattern: string): Promise<readonly Source[]> {
  const paths = await Array.fromAsync(new Bun.Glob(pattern).scan({ cwd: root }));
  const read = async (path: string) => ({ path, text: await Bun.file(join(root, path)).text() });
  return Promise.all(paths.toSorted().map(read));
}

test("imports go downward only, and each technology has one home", async () => {
  const sources = await sourcesOf("src/**/*.ts");
  expect(sources.length).toBeGreaterThan(40);
  expect(violations(sources)).toEqual([]);
});

test("every import of the sources is seen", async () => {
  const sources = await sourcesOf("src/**/*.ts");
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for (const { path, text } of sources) {
    const seen = importsOf(withoutComments(text));
    for (const { path: specifier } of transpiler.scanImports(text)) {
      expect({ path, seen }).toEqual({ path, seen: expect.arrayContaining([specifier]) });
    }
  }
});

test.each([
  [
    "src/base/ids.ts",
    'import { x } from "../config/config.ts";',
    "base and config stand side by side",
  ],
  ["src/base/ids.ts", 'import type { Tally } from "../telemetry/tally.ts";', "downward only"],
  ["src/base/ids.ts", 'import { v2 } from "../protocol/frames.ts";', "side by side"],
  ["src/protocol/frames.ts", 'import { Config } from "../config/config.ts";', "side by side"],
  ["src/protocol/closes.ts", 'import { Tally } from "../telemetry/tally.ts";', "downward only"],
  ["src/config/rules.ts", 'export { x } from "../engine/engine.ts";', "downward only"],
  ["src/signaling/peer.ts", 'import { problem } from "../http/problem.ts";', "downward only"],
  ["src/signaling/peer.ts", 'import { x } from "../rendezvous/rendezvous.ts";', "side by side"],
  ["src/http/app.ts", 'import type { Link } from "../ws/peer-socket.ts";', "side by side"],
  ["src/ws/peer-socket.ts", 'import { x } from "../http/app.ts";', "side by side"],
  ["src/ws/peer-socket.ts", 'import { startServer } from "../server/server.ts";', "downward only"],
  ["src/server/server.ts", 'import {\n  serve,\n} from "../cli/serve.ts";', "downward only"],
  ["src/engine/memory/a.ts", 'import { Tally } from "../../telemetry/tally.ts";', "its contract"],
  [
    "src/engine/memory/a.ts",
    'import type { Config } from "../../config/config.ts";',
    "its contract",
  ],
  ["src/engine/memory/a.ts", 'import { v2 } from "../../protocol/frames.ts";', "its contract"],
  ["src/engine/redis/a.ts", 'import { Mailbox } from "../memory/mailboxes.ts";', "its contract"],
  ["src/engine/engine.ts", 'import { x } from "./memory/memory.ts";', "its contract"],
  ["src/engine/rules/a.ts", 'import { x } from "../connections.ts";', "its contract"],
  ["src/engine/connections.ts", 'import { x } from "./redis/redis.ts";', "its contract"],
  ["src/telemetry/tally.ts", 'import { Sizes } from "../engine/engine.ts";', "side by side"],
  ["src/page/page.ts", 'import { roomFull } from "../protocol/frames.ts";', "in a browser"],
  ["src/ws/peer-socket.ts", 'import { x } from "../helpers/x.ts";', "no floor"],
  ["src/helpers/x.ts", 'import { x } from "../base/ids.ts";', "no floor"],
  ["src/ws/upgrade.ts", 'const { Hono } = await import("hono");', "business of http/"],
  ["src/http/app.ts", 'import { Registry } from "prom-client";', "hot path"],
  ["src/config/config.ts", 'const port = process.env["PORT"];', "come in as a Config"],
  ["src/engine/memory/a.ts", "const at = Date.now();", "Clock"],
  ["src/rendezvous/a.ts", "const n = Math.random();", "Clock"],
  ["src/rendezvous/a.ts", "crypto.getRandomValues(bytes);", "Clock"],
  ["src/ws/a.ts", "setInterval(run, 1_000); // later", "Clock"],
  ["src/rendezvous/a.ts", "const id = crypto.randomUUID();", "ids"],
  ["src/ws/sockets.ts", "Bun.serve({});", "composition root"],
  ["src/server/server.ts", 'import { RedisClient } from "bun";', "contract"],
])("the rules would notice %s: %s", (path, text, why) => {
  const found = violations([{ path, text }]);
  expect(found).toEqual([expect.stringContaining(why)]);
  expect(found[0]).toStartWith(path);
});

test.each([
  ["src/main.ts", 'import { serve } from "./cli/serve.ts";\nserve(process.env);'],
  ["src/ws/upgrade.ts", 'import { problem } from "../http/problem.ts";'],
  ["src/engine/memory/a.ts", 'import type { Seat } from "../engine.ts";\nimport "./b.ts";'],
  ["src/engine/memory/a.ts", 'import { otherSide } from "../../base/ids.ts";'],
  ["src/signaling/a.ts", "/** Not Date.now(): see\n * Bun.serve */\n// setTimeout is not used"],
  ["src/page/page.ts", 'import { x } from "./x.ts";\nsetTimeout(x, 1);'],
  ["src/http/app.ts", 'import { Hono } from "hono";\nimport { cors } from "hono/cors";'],
])("the rules let %s be: %s", (path, text) => {
  expect(violations([{ path, text }])).toEqual([]);
});

import { describe, expect, test } from "bun:test";
import { editDistance, nearest } from "../../src/base/nearest.ts";
import {
  describeProblem,
  type Env,
  flagOf,
  readConfig,
  settings,
} from "../../src/config/config.ts";

function read(args: readonly string[], env: Env = {}) {
  const reading = readConfig(env, args);
  if ("config" in reading) return reading;
  throw new Error(`refused: ${reading.problems.map(describeProblem).join("; ")}`);
}

function problems(args: readonly string[], env: Env = {}): string[] {
  const reading = readConfig(env, args);
  return "problems" in reading ? reading.problems.map(describeProblem) : [];
}

test("every variable and alias is a flag", () => {
  for (const setting of settings) {
    for (const name of [setting.variable, ...(setting.aliases ?? [])]) {
      const { sources } = read([`${flagOf(name)}=${setting.default || ""}`]);
      expect(sources.get(setting.variable)).toEqual({ from: "flag", name: flagOf(name) });
    }
  }
});

test.each([[["--port", "9000"]], [["--port=9000"]], [["--port= 9000 "]]])(
  "%p sets the port",
  (args) => {
    expect(read(args).config.port).toBe(9_000);
  },
);

test.each([
  [["--dev"], true],
  [["--dev=true"], true],
  [["--dev", "false"], false],
  [["--dev=false"], false],
  [["--no-dev"], false],
  [["--dev", "--port", "1"], true],
] as const)("%p sets DEV to %p", (args, dev) => {
  expect(read(args, { DEV: String(!dev) }).config.dev).toBe(dev);
});

describe("a flag", () => {
  test("wins over the environment, which wins over the default", () => {
    const env = { PORT: "2", HEARTBEAT: "5s" };
    const { config, sources } = read(["--port", "1"], env);
    expect(config).toMatchObject({ port: 1, heartbeatMs: 5_000, roomTtlMs: 600_000 });
    expect(sources.get("PORT")).toEqual({ from: "flag", name: "--port" });
    expect(sources.get("HEARTBEAT")).toEqual({ from: "environment", name: "HEARTBEAT" });
    expect(sources.get("ROOM_TTL")).toEqual({ from: "default" });
  });

  test("hides whatever is wrong with the variable it replaces", () => {
    const env = { HEARTBEAT: "5s", WS_HEARTBEAT: "x" };
    expect(read(["--heartbeat", "7s"], env).config.heartbeatMs).toBe(7_000);
  });

  test("takes the environment's value away when it is empty and may be", () => {
    const { config } = read(["--cors-origins="], { CORS_ORIGINS: "a.example" });
    expect(config).toMatchObject({ corsOrigins: [], dev: true });
  });

  test("may have a value that begins with one dash", () => {
    expect(problems(["--port", "-1"])).toEqual(['--port="-1": a whole number from 0 to 65535']);
  });
});

test("an alias in the environment is told as the source", () => {
  const { sources } = read([], { WS_HEARTBEAT: "5s" });
  expect(sources.get("HEARTBEAT")).toEqual({ from: "environment", name: "WS_HEARTBEAT" });
});

test.each([
  [["--prot", "1"], "--prot: there is no such flag; did you mean --port?"],
  [["--room-tll=5m"], "--room-tll: there is no such flag; did you mean --room-ttl?"],
  [["--nodev"], "--nodev: there is no such flag; did you mean --no-dev?"],
  [["--entirely-different"], "--entirely-different: there is no such flag; see --help"],
  [["-x", "--dev"], "-x: there is no such flag; see --help"],
  [["9000"], "9000: is not a flag; settings are written like --port 9000"],
  [["--port"], "--port: needs a value: from 0 to 65535"],
  [["--port", "--dev"], "--port: needs a value: from 0 to 65535"],
  [["--port="], "--port: needs a value: from 0 to 65535"],
  [["--port", "1", "--port=1"], "--port: is given twice; keep one of them"],
  [["--dev", "--no-dev"], "--no-dev: sets the same as --dev; keep one of them"],
  [["--heartbeat=5s", "--ws-heartbeat=5s"], "--ws-heartbeat: sets the same as --heartbeat"],
  [["--no-dev=true"], "--no-dev: takes no value; write --dev=true"],
  [["--no-port"], "--no-port: there is no such flag"],
])("%p is refused: %s", (args, fault) => {
  expect(problems(args)).toEqual([expect.stringContaining(fault)]);
});

test("problems of flags and of variables are told together", () => {
  const lines = problems(["--prot", "1", "--room-ttl", "10"], { DEV: "maybe", PORT: "x" });
  expect(lines.map((line) => line.split(/[=:]/)[0])).toEqual([
    "--prot",
    "PORT",
    "--room-ttl",
    "DEV",
  ]);
});

test("no problem shows a secret, not even that of a mistyped flag", () => {
  for (const args of [
    ["--metrics-token", "hush hush"],
    ["--metric-token", "hush-hush"],
    ["--metrics-tokn=hush-hush"],
  ]) {
    const lines = problems(args);
    expect(lines).toHaveLength(1);
    expect(lines.join()).not.toContain("hush");
  }
});

describe("settings that came with the command line", () => {
  test.each([
    ["/signal", "/signal"],
    ["/a/b-c", "/a/b-c"],
    ["/signal/", "/signal"],
    ["/", ""],
  ])("BASE_PATH=%s stands for %s", (text, path) => {
    expect(read([], { BASE_PATH: text }).config.basePath).toBe(path);
  });

  test.each(["signal", "//", "/a//b", "/..", "/a/../b", "/a?b", "/:id", "/a b"])(
    "BASE_PATH=%s is refused",
    (text) => expect(problems([], { BASE_PATH: text })).toHaveLength(1),
  );

  test.each(["/signal/ws", "/signal/rendezvous/code"])(
    "METRICS_ROUTE=%s is refused where BASE_PATH puts something else",
    (route) => {
      expect(problems([], { BASE_PATH: "/signal", METRICS_ROUTE: route })).toEqual([
        expect.stringContaining("BASE_PATH=/signal"),
      ]);
      expect(problems([], { METRICS_ROUTE: route })).toEqual([]);
    },
  );

  test("default to what a first run needs", () => {
    expect(read([]).config).toMatchObject({
      basePath: "",
      drainMs: 5_000,
      stateFile: "",
      metricsToken: "",
      logFormat: "auto",
      logClient: "prefix",
    });
  });
});

test.each([
  ["port", "port", 0],
  ["prot", "port", 1],
  ["pot", "port", 1],
  ["ports", "port", 1],
  ["pxrt", "port", 1],
  ["", "abc", 3],
] as const)("from %p to %p it is %i changes", (from, to, distance) => {
  expect(editDistance(from, to)).toBe(distance);
  expect(editDistance(to, from)).toBe(distance);
});

test("nothing is near to a word that means something else", () => {
  expect(nearest("zebra", ["port", "host"])).toBeUndefined();
});

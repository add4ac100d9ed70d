import { describe, expect, test } from "bun:test";
import {
  type Config,
  describeProblem,
  type Env,
  readConfig,
  settings,
} from "../../src/config/config.ts";

function read(env: Env): { config: Config; warnings: readonly string[] } {
  const reading = readConfig(env);
  if ("config" in reading) return reading;
  throw new Error(`refused: ${reading.problems.map(describeProblem).join("; ")}`);
}

/** The problems' lines; none when the settings are accepted. */
function problems(env: Env): string[] {
  const reading = readConfig(env);
  return "problems" in reading ? reading.problems.map(describeProblem) : [];
}

describe("defaults", () => {
  test("are those the reference server's README promises", () => {
    expect(read({}).config).toMatchObject({
      host: "0.0.0.0",
      port: 1234,
      roomTtlMs: 600_000,
      heartbeatMs: 20_000,
      wsMaxMsgBytes: 1_048_576,
      httpRatePerMin: 0,
      wsRatePerMin: 0,
      corsOrigins: [],
      dev: true,
      tlsCertFile: "",
      tlsKeyFile: "",
      metricsRoute: "/metrics",
      logLevel: "info",
    });
  });

  test("bound what the reference server does not", () => {
    expect(read({}).config).toMatchObject({
      relayHoldMs: 10_000,
      mailboxMaxMails: 10_000,
      mailboxMaxBytes: 4_194_304,
      mailTotalBytes: 268_435_456,
      wsBufferBytes: 262_144,
      wsBufferTotalBytes: 268_435_456,
      slowPeerTimeoutMs: 30_000,
      maxRooms: 100_000,
    });
  });

  test("may all be set explicitly, and then mean the same", () => {
    const meant = settings.filter((setting) => setting.noMeaning === undefined);
    const env = Object.fromEntries(meant.map((setting) => [setting.variable, setting.default]));
    expect(read(env).config).toEqual(read({}).config);
  });
});

describe("every setting", () => {
  test("has a name of its own, aliases included", () => {
    const names = settings.flatMap((setting) => [setting.variable, ...(setting.aliases ?? [])]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("says what is allowed", () => {
    for (const setting of settings) expect(setting.schema.description).toBeString();
  });

  test("counts as unset when it is empty or blank", () => {
    for (const blank of ["", "  ", "\t"]) {
      const env = Object.fromEntries(settings.map((setting) => [setting.variable, blank]));
      expect(read(env)).toEqual(read({}));
    }
  });

  test("loses the space around its value", () => {
    const { config } = read({ PORT: " 80 ", HOST: "\tlocalhost\n", HEARTBEAT: " 5s " });
    expect(config).toMatchObject({ port: 80, host: "localhost", heartbeatMs: 5_000 });
  });
});

test("the config cannot be changed", () => {
  const { config } = read({ CORS_ORIGINS: "a.example" });
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.corsOrigins)).toBe(true);
});

test("variables that are no settings are ignored", () => {
  expect(read({ PATH: "/bin", HOME: "/root" })).toEqual(read({}));
});

describe("ranges", () => {
  test.each([
    ["PORT", ["0", "65535"], ["-1", "65536", "1.5", "0x10", "1e3", "abc", "80 80"]],
    ["WS_MAX_MSG", ["1025", "16777216"], ["1024", "16777217", "1MiB"]],
    ["ROOM_TTL", ["1s", "168h"], ["0", "999ms", "168h1s", "600", "-10m"]],
    ["HEARTBEAT", ["100ms", "10m"], ["99ms", "10m1s", "20"]],
    ["RELAY_HOLD", ["0", "10m"], ["-1s", "11m"]],
    ["SLOW_PEER_TIMEOUT", ["1s", "10m"], ["0", "11m"]],
    ["HTTP_RATE_PER_MIN", ["0", "60"], ["-1", "many"]],
    ["WS_RATE_PER_MIN", ["0", "60"], ["-1", "many"]],
    ["MAILBOX_MAX_MAILS", ["1"], ["0"]],
    ["MAILBOX_MAX_BYTES", ["1048576"], ["1024"]],
    ["MAIL_TOTAL_BYTES", ["1048576"], ["1024"]],
    ["WS_BUFFER", ["16384"], ["16383"]],
    ["WS_BUFFER_TOTAL", ["262144"], ["16383"]],
    ["MAX_ROOMS", ["2"], ["1"]],
    [
      "METRICS_ROUTE",
      ["/m", "/a/b-c_d.e~f"],
      ["metrics", "/m?x", "/a b", "/:id", "/*", "/healthz", "/..", "/a/../b", "/a/."],
    ],
    ["METRICS_ROUTE", ["/ws2"], ["/readyz", "/ws", "/ws/", "/rendezvous/code"]],
    ["LOG_LEVEL", ["trace", "debug", "INFO", "Warn", "warning", "error"], ["verbose", "1"]],
    ["HOST", ["::", "[::1]", "localhost"], ["http://localhost", "a b"]],
    ["WS_READ_BUF", ["0", "65536"], ["64k"]],
    ["WS_WRITE_BUFFER", ["0", "65536"], ["64k"]],
    ["WS_HANDSHAKE", ["0", "10s"], ["10"]],
    ["READ_HEADER_TIMEOUT", ["5s"], ["5"]],
    ["WRITE_TIMEOUT", ["0"], ["x"]],
    [
      "CORS_ORIGINS",
      [
        "file://",
        "FILE:///",
        "app://",
        "app://-",
        "capacitor://localhost",
        "chrome-extension://abc",
      ],
      [
        "null",
        "a.example,NULL",
        "https://",
        "file://a/b",
        "ws://a.example",
        "wss://a.example",
        "data://x",
      ],
    ],
    ["IDLE_TIMEOUT", ["0", "75s", "4m"], ["60", "5m"]],
  ] as const)("%s takes %p and refuses %p", (variable, right, wrong) => {
    for (const value of right) expect(problems({ [variable]: value })).toEqual([]);
    for (const value of wrong) {
      expect(problems({ [variable]: value })).toEqual([
        expect.stringContaining(`${variable}="${value}": `),
      ]);
    }
  });

  test("a duration is rounded up to whole ms, so that little is never nothing", () => {
    expect(read({ RELAY_HOLD: "1ns" }).config.relayHoldMs).toBe(1);
  });

  test("'warning' means warn", () => {
    expect(read({ LOG_LEVEL: "WARNING" }).config.logLevel).toBe("warn");
  });

  test.each([
    [true, ["true", "TRUE", "1", "yes", "On"]],
    [false, ["false", "False", "0", "no", "OFF"]],
  ] as const)("%p is also written %p", (truth, texts) => {
    for (const text of texts) expect(read({ DEV: text }).config.dev).toBe(truth);
  });

  test("other words are no truth values", () => {
    for (const text of ["y", "2", "truthy", "toString"])
      expect(problems({ DEV: text })).toHaveLength(1);
  });
});

describe("problems", () => {
  test("name the variable, its value and what is allowed", () => {
    expect(problems({ PORT: "abc" })).toEqual(['PORT="abc": a whole number from 0 to 65535']);
  });

  test("are told all at once", () => {
    const lines = problems({ PORT: "abc", ROOM_TTL: "10", DEV: "maybe", TLS_CERT_FILE: "/c.pem" });
    expect(lines.map((line) => line.split(/[= ]/)[0])).toEqual([
      "PORT",
      "ROOM_TTL",
      "DEV",
      "TLS_KEY_FILE",
    ]);
  });

  test("stay on one line whatever the value", () => {
    expect(problems({ PORT: "1\n2" })[0]).not.toContain("\n");
  });
});

describe("an alias", () => {
  test("works alone", () => {
    expect(read({ WS_HEARTBEAT: "5s" }).config.heartbeatMs).toBe(5_000);
  });

  test("works beside an empty main name", () => {
    expect(read({ HEARTBEAT: "", WS_HEARTBEAT: "5s" }).config.heartbeatMs).toBe(5_000);
  });

  test("may repeat the main name's value", () => {
    expect(read({ HEARTBEAT: "5s", WS_HEARTBEAT: "5s" }).config.heartbeatMs).toBe(5_000);
  });

  test("must not contradict the main name", () => {
    expect(problems({ HEARTBEAT: "5s", WS_HEARTBEAT: "6s" })).toEqual([
      'WS_HEARTBEAT="6s": the same as HEARTBEAT, which sets the same thing; keep one of them',
    ]);
  });

  test("is the name told when its value is wrong", () => {
    expect(problems({ WS_HEARTBEAT: "5" })[0]).toStartWith('WS_HEARTBEAT="5": ');
  });
});

test.each([
  { TURN_URLS: "turn:t.example:0", TURN_SECRET: "x" },
  { TURN_URLS: "turn:t.example:65536", TURN_SECRET: "x" },
  { ICE_SERVERS: "stun:s.example:99999" },
  { REDIS_URL: "redis://h?db=2" },
  { REDIS_URL: "redis://h/#2" },
  { REDIS_SENTINELS: "h", REDIS_URL: "redis://h", REDIS_SENTINEL_USER: "u" },
])("%p could never work, and is refused", (env) => {
  expect(problems(env)).toHaveLength(1);
});

describe("a value in quotes is refused, whatever the setting", () => {
  const inQuotes = settings.flatMap(({ variable }) => [
    [variable, '"hush"'],
    [variable, "'hush'"],
    [variable, ' "a","b" '],
  ]);
  test.each(inQuotes)("%s=%s", (variable, value) => {
    const said = problems({ [variable as string]: value }).filter((line) =>
      line.includes("quotes"),
    );
    expect(said).toEqual([expect.stringContaining(`${variable}=`)]);
    expect(
      said[0]?.includes("hush") && settings.find((one) => one.variable === variable)?.secret,
    ).toBeFalsy();
  });

  test("and one with quotes in it is not", () => {
    expect(problems({ TURN_URLS: "turn:t.example", TURN_SECRET: `a"b"c,'` })).toEqual([]);
    const servers = '[{"urls":"stun:stun.example.com"}]';
    expect(problems({ ICE_SERVERS: servers })).toEqual([]);
  });
});

describe("settings without meaning here", () => {
  test("are named in one warning, as they were given", () => {
    const { warnings } = read({ DEV: "false", WS_READ_BUFFER: "4096", WRITE_TIMEOUT: "5s" });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("WS_READ_BUFFER");
    expect(warnings[0]).toContain("WRITE_TIMEOUT");
  });

  test("are not warned of when unset", () => {
    expect(read({ DEV: "false" }).warnings).toEqual([]);
  });
});

describe("TLS", () => {
  test("needs both files or none", () => {
    const files = { TLS_CERT_FILE: "/c.pem", TLS_KEY_FILE: "/k.pem" };
    expect(read(files).config).toMatchObject({ tlsCertFile: "/c.pem", tlsKeyFile: "/k.pem" });
  });

  test.each([
    ["TLS_KEY_FILE", "TLS_CERT_FILE"],
    ["TLS_CERT_FILE", "TLS_KEY_FILE"],
  ] as const)("the missing %s is named when only %s is set", (missing, present) => {
    const lines = problems({ [present]: "/x.pem" });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith(`${missing} (not set): `);
    expect(lines[0]).toContain(present);
  });
});

describe("who may connect", () => {
  test("any page, with a warning, when nothing is set", () => {
    const { config, warnings } = read({});
    expect(config.dev).toBe(true);
    expect(warnings).toEqual([expect.stringContaining("Any web page may connect")]);
  });

  test("any page, with a warning, when DEV is set to true", () => {
    expect(read({ DEV: "1" }).warnings).toHaveLength(1);
  });

  test("the server's own names, told as browsers write them", () => {
    const { config } = read({ SERVER_NAMES: " Signal.Example.com, b\u00fccher.example ," });
    expect(config.serverNames).toEqual(["signal.example.com", "xn--bcher-kva.example"]);
    for (const entry of ["https://a.example", "a.example:80", "*.example.com", "a b", ", ,"]) {
      expect([entry, problems({ SERVER_NAMES: entry }).length]).toEqual([entry, 1]);
    }
    const { warnings } = read({ SERVER_NAMES: "a.example", DEV: "true" });
    expect(warnings.join()).toContain("SERVER_NAMES has no effect");
  });

  test("the listed pages when only CORS_ORIGINS is set", () => {
    const { config, warnings } = read({ CORS_ORIGINS: "https://a.example" });
    expect(config).toMatchObject({ dev: false, corsOrigins: ["https://a.example"] });
    expect(warnings).toEqual([]);
  });

  test("any page when both are set, with a warning that DEV wins", () => {
    const { config, warnings } = read({ CORS_ORIGINS: "https://a.example", DEV: "true" });
    expect(config.dev).toBe(true);
    expect(warnings).toEqual([expect.stringContaining("DEV=true wins over CORS_ORIGINS")]);
  });

  test("the listed pages when DEV is set to false", () => {
    const { config, warnings } = read({ CORS_ORIGINS: "a.example", DEV: "false" });
    expect(config).toMatchObject({ dev: false, corsOrigins: ["a.example"] });
    expect(warnings).toEqual([]);
  });

  test.each([
    ["https://App.Example.com", "https://app.example.com"],
    ["https://app.example.com/", "https://app.example.com"],
    ["https://app.example.com:443", "https://app.example.com"],
    ["http://localhost:5173", "http://localhost:5173"],
    ["https://[::1]:8443", "https://[::1]:8443"],
    ["capacitor://localhost", "capacitor://localhost"],
    ["Example.com", "example.com"],
    ["b\u00fccher.example", "xn--bcher-kva.example"],
    ["192.0.2.7", "192.0.2.7"],
    ["[2001:db8::1]", "[2001:db8::1]"],
    ["*.Example.com", "*.example.com"],
    ["*", "*"],
  ] as const)("%s is listed as browsers write it: %s", (entry, origin) => {
    expect(read({ CORS_ORIGINS: entry }).config.corsOrigins).toEqual([origin]);
  });

  test("entries are separated by commas, with space around them, and blank ones skipped", () => {
    const { corsOrigins } = read({ CORS_ORIGINS: " a.example , ,b.example," }).config;
    expect(corsOrigins).toEqual(["a.example", "b.example"]);
  });

  test.each([
    "https://",
    "https://a.example/path",
    "https://user@a.example",
    "https://*.example.com",
    "https://a.example:99999",
    "//a.example",
    "a.example/path",
    "a.example:8080",
    "a b",
    "*.",
    "**",
    "*.*.example",
    "a.*",
    "https://a.example?x",
    "https://a example",
    "http:a.example",
  ])("%s is no origin", (entry) => {
    expect(problems({ CORS_ORIGINS: `good.example,${entry}` })).toEqual([
      expect.stringContaining(`wrong: ${JSON.stringify(entry)}`),
    ]);
  });

  test("a list of nothing but commas is refused", () => {
    expect(problems({ CORS_ORIGINS: ", ," })).toHaveLength(1);
  });
});

describe("bounds that depend on each other", () => {
  test.each([
    ["MAILBOX_MAX_BYTES", 1_048_575, "WS_MAX_MSG"],
    ["MAIL_TOTAL_BYTES", 1_048_575, "WS_MAX_MSG"],
    ["WS_BUFFER_TOTAL", 262_143, "WS_BUFFER"],
  ] as const)("%s=%d is refused: it is below %s", (variable, value, other) => {
    const lines = problems({ [variable]: String(value) });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith(`${variable}="${value}": `);
    expect(lines[0]).toEndWith(`the value of ${other}`);
  });

  test("a mailbox bound that was not given grows to a raised WS_MAX_MSG, with a warning", () => {
    const { config, warnings } = read({ DEV: "false", WS_MAX_MSG: "8388608" });
    expect(config.mailboxMaxBytes).toBe(8_388_608);
    expect(warnings).toEqual([expect.stringContaining("MAILBOX_MAX_BYTES is 8388608")]);
  });

  test("are not judged by a value that is wrong itself", () => {
    expect(problems({ WS_MAX_MSG: "x", MAILBOX_MAX_BYTES: "2000" })).toHaveLength(1);
  });
});

test.each([
  ["CORS_ORIGIN", "CORS_ORIGINS"],
  ["ROOM_TLL", "ROOM_TTL"],
  ["TURN_URL", "TURN_URLS"],
  ["PROT", "PORT"],
  ["LOG_LEVLE", "LOG_LEVEL"],
])("%s is told of as a slip of %s, without its value", (name, meant) => {
  const warning = `${name} is not a setting and is ignored. Did you mean ${meant}?`;
  expect(readConfig({ DEV: "false", [name]: "hush" })).toMatchObject({ warnings: [warning] });
});

test.each(["HOME", "USER", "HOSTNAME", "POD_IP", "REDIS_PORT", "NODE_ENV", "DEBUG", "LOGNAME"])(
  "%s is nobody's slip",
  (name) => {
    expect(readConfig({ DEV: "false", [name]: "x" })).toMatchObject({ warnings: [] });
  },
);

test.each([
  [{ ROOM_TTL: "300" }, "a duration from 1s to 168h, with its unit: 300s, 300m"],
  [{ METRICS_TOKEN: "hush hush" }, "; character 5 is none of them"],
  [{ REDIS_URL: "localhost:6379" }, "; it does not begin with redis:// or rediss://"],
  [{ REDIS_URL: "redis://:hush@host/path" }, "; what follows the port is not a database number"],
  [{ REDIS_URL: "redis://:hu/sh@host" }, "must be written as %40"],
])("%p is refused with its fault, and without a secret", (env, fault) => {
  const reading = readConfig(env as Record<string, string>);
  expect(JSON.stringify(reading)).toContain(fault);
  expect(JSON.stringify(reading)).not.toMatch(/hush|hu\/sh/);
});

test.each([
  [{ CORS_ORIGINS: "*" }, "CORS_ORIGINS lists *"],
  [{ DRAIN: "10s", DEV: "false" }, "without REDIS_URL"],
])("%p starts with a warning", (env, words) => {
  expect(readConfig(env as Record<string, string>)).toMatchObject({
    warnings: [expect.stringContaining(words)],
  });
});

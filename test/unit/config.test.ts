import { describe, expect, test } from "bun:test";
import {
  type Config,
  type Env,
  flagOf,
  readConfig,
  settings,
  withoutEffect,
} from "../../src/config/config.ts";

function read(env: Env, args: readonly string[] = []) {
  const reading = readConfig(env, args);
  if ("config" in reading) return reading;
  throw new Error(`refused: ${reading.problems.join("; ")}`);
}

/** The lines of what is wrong; empty when the settings are accepted. */
function problems(env: Env, args: readonly string[] = []): readonly string[] {
  const reading = readConfig(env, args);
  return "problems" in reading ? reading.problems : [];
}

test("defaults are those of the reference server's README, and bound what that does not", () => {
  expect(read({}).config).toMatchObject({
    ...{ host: "0.0.0.0", port: 1234, tlsCertFile: "", tlsKeyFile: "", basePath: "" },
    ...{ roomTtlMs: 600_000, heartbeatMs: 20_000, wsMaxMsgBytes: 1_048_576, drainMs: 5_000 },
    ...{ httpRatePerMin: 0, wsRatePerMin: 0, corsOrigins: [], dev: true, demo: true },
    ...{ metricsRoute: "/metrics", metricsToken: "", logLevel: "info", logFormat: "auto" },
    ...{ logClient: "prefix", stateFile: "", relayHoldMs: 10_000, mailboxMaxMails: 10_000 },
    ...{ mailboxMaxBytes: 4_194_304, mailTotalBytes: 268_435_456, maxRooms: 100_000 },
    ...{ wsBufferBytes: 262_144, wsBufferTotalBytes: 268_435_456, slowPeerTimeoutMs: 30_000 },
    ...{ iceServers: [], turnTtlMs: 600_000, turnRooms: "redeemed" },
  });
});

describe("every setting", () => {
  const names = settings.flatMap(({ variable, aliases = [] }) => [variable, ...aliases]);

  test("has names of its own, and is a variable and a flag under each", () => {
    expect(new Set(names).size).toBe(names.length);
    for (const { variable, aliases = [], default: byDefault } of settings) {
      for (const name of [variable, ...aliases]) {
        const { config, sources } = read({ [name]: "x" }, [`${flagOf(name)}=${byDefault}`]);
        expect(sources.get(variable)).toBe(`flag ${flagOf(name)}`);
        expect(config).toEqual(read({}).config);
      }
    }
  });

  test("may be set to its default, and counts as unset when it is blank", () => {
    const all = (value: (byDefault: string) => string) =>
      Object.fromEntries(settings.map((one) => [one.variable, value(one.default)]));
    expect(read(all((byDefault) => byDefault)).config).toEqual(read({}).config);
    for (const blank of ["", "  ", "\t"]) expect(read(all(() => blank))).toEqual(read({}));
  });

  test("refuses a value in quotes, without showing a secret", () => {
    for (const { variable, secret } of settings) {
      for (const value of ['"hush"', "'hush'", ' "a","hush" ']) {
        const said = problems({ [variable]: value }).filter((line) => line.includes("quotes"));
        expect(said).toEqual([expect.stringContaining(`${variable}=`)]);
        if (secret) expect(said[0]).not.toContain("hush");
      }
    }
    expect(problems({ TURN_URLS: "turn:t.example", TURN_SECRET: `a"b"c,'` })).toEqual([]);
  });
});

test("the config cannot be changed", () => {
  const { config } = read({ CORS_ORIGINS: "a.example" });
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(config.corsOrigins)).toBe(true);
});

test.each([
  ["PORT", ["0", "65535"], ["-1", "65536", "1.5", "0x10", "1e3", "abc", "80 80"]],
  ["WS_MAX_MSG", ["1025", "16777216"], ["1024", "16777217", "1MiB"]],
  ["ROOM_TTL", ["1s", "168h"], ["0", "999ms", "168h1s", "600", "-10m"]],
  ["HEARTBEAT", ["100ms", "10m"], ["99ms", "10m1s", "20"]],
  ["RELAY_HOLD", ["0", "10m"], ["-1s", "11m"]],
  ["SLOW_PEER_TIMEOUT", ["1s", "10m"], ["0", "11m"]],
  ["IDLE_TIMEOUT", ["0", "75s", "4m"], ["60", "5m"]],
  ["HTTP_RATE_PER_MIN", ["0", "60"], ["-1", "many"]],
  ["WS_RATE_PER_MIN", ["0", "60"], ["-1", "many"]],
  ["MAILBOX_MAX_MAILS", ["1"], ["0"]],
  ["MAILBOX_MAX_BYTES", ["1048576"], ["1024"]],
  ["MAIL_TOTAL_BYTES", ["1048576"], ["1024"]],
  ["WS_BUFFER", ["16384"], ["16383"]],
  ["WS_BUFFER_TOTAL", ["262144"], ["16383"]],
  ["MAX_ROOMS", ["2"], ["1"]],
  ["METRICS_ROUTE", ["/m", "/a/b-c_d.e~f", "/ws2"], ["metrics", "/m?x", "/a b", "/:id", "/*"]],
  ["METRICS_ROUTE", ["/.m"], ["/..", "/a/../b", "/a/.", "/readyz", "/ws/", "/rendezvous/code"]],
  ["BASE_PATH", ["/", "/a/b-c"], ["signal", "//", "/a//b", "/..", "/a/../b", "/a?b", "/:id"]],
  ["LOG_LEVEL", ["trace", "INFO", "Warn", "warning", "error"], ["verbose", "1"]],
  ["DEV", ["TRUE", "1", "yes", "On", "False", "0", "no", "OFF"], ["y", "2", "truthy", "toString"]],
  ["HOST", ["::", "[::1]", "localhost"], ["http://localhost", "a b"]],
  ["CORS_ORIGINS", ["file://", "FILE:///", "app://", "app://-", "*"], ["null", "a.example,NULL"]],
  ["CORS_ORIGINS", ["chrome-extension://abc"], ["file://a/b", "ws://a.example", "data://x", ", ,"]],
  ["SERVER_NAMES", ["a.example"], ["https://a.example", "a.example:80", "*.a.example", ", ,"]],
  ["TURN_ROOMS", ["any"], ["all"]],
  ["TURN_TTL", ["1m"], ["10s"]],
  ["REDIS_SENTINELS", [], ["redis://h", "h:x"]],
  ["WS_READ_BUF", ["0", "64k"], []],
] as const)("%s takes %p and refuses %p", (variable, right, wrong) => {
  for (const value of right) expect(problems({ [variable]: value })).toEqual([]);
  for (const value of wrong) {
    expect(problems({ [variable]: value })).toContainEqual(
      expect.stringContaining(`${variable}="${value}": `),
    );
  }
});

const listedOrigins = [
  ["https://App.Example.com/", "https://app.example.com"],
  ["https://app.example.com:443", "https://app.example.com"],
  ["https://[::1]:8443", "https://[::1]:8443"],
  ["capacitor://localhost", "capacitor://localhost"],
  ["Example.com", "example.com"],
  ["b\u00fccher.example", "xn--bcher-kva.example"],
  ["[2001:db8::1]", "[2001:db8::1]"],
  ["*.Example.com", "*.example.com"],
] as const;

const turn = { urls: ["turn:[::1]:3478?transport=udp"], username: "u", credential: "c" };

const meanings: readonly (readonly [Env, Partial<Config>])[] = [
  [
    { PORT: " 80 ", HOST: "\tlocalhost\n" },
    { port: 80, host: "localhost" },
  ],
  // Little is never nothing.
  [{ RELAY_HOLD: "1ns" }, { relayHoldMs: 1 }],
  [{ LOG_LEVEL: "WARNING" }, { logLevel: "warn" }],
  [{ DEV: "On" }, { dev: true }],
  [{ DEV: "no" }, { dev: false, demo: false }],
  [{ DEV: "false", DEMO: "true" }, { demo: true }],
  [{ BASE_PATH: "/signal/" }, { basePath: "/signal" }],
  [{ BASE_PATH: "/" }, { basePath: "" }],
  [{ HEARTBEAT: "", WS_HEARTBEAT: "5s" }, { heartbeatMs: 5_000 }],
  [{ HEARTBEAT: "5s", WS_HEARTBEAT: "5s" }, { heartbeatMs: 5_000 }],
  [
    { TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" },
    { tlsCertFile: "/c", tlsKeyFile: "/k" },
  ],
  ...listedOrigins.map(
    ([text, origin]) => [{ CORS_ORIGINS: text }, { corsOrigins: [origin] }] as const,
  ),
  [{ CORS_ORIGINS: " a.example , ,b.example," }, { corsOrigins: ["a.example", "b.example"] }],
  [{ CORS_ORIGINS: "a.example" }, { dev: false, demo: false }],
  [{ CORS_ORIGINS: "a.example", DEV: "true" }, { dev: true }],
  [{ SERVER_NAMES: " A.Example, b.example ," }, { serverNames: ["a.example", "b.example"] }],
  [{ DEV: "false", WS_MAX_MSG: "8388608" }, { mailboxMaxBytes: 8_388_608 }],
  [{ ICE_SERVERS: JSON.stringify([turn]) }, { iceServers: [turn] }],
  [
    { ICE_SERVERS: "stun:a, stuns:b:443" },
    { iceServers: [{ urls: "stun:a" }, { urls: "stuns:b:443" }] },
  ],
  [
    { TURN_URLS: "turn:a.example, turns:b.example:443", TURN_SECRET: "n, o" },
    { turnUrls: ["turn:a.example", "turns:b.example:443"], turnSecrets: ["n", "o"] },
  ],
  [{ REDIS_URL: "redis://h", REDIS_SENTINELS: "a, b:1" }, { redisSentinels: ["a:26379", "b:1"] }],
];

test.each(meanings)("%p means %p", (env, config) => {
  expect(read(env).config).toMatchObject(config);
});

describe("what is wrong", () => {
  test.each([
    [{ PORT: "abc" }, 'PORT="abc": a whole number from 0 to 65535'],
    [{ ROOM_TTL: "300" }, "a duration from 1s to 168h; with its unit: 300s, 300m"],
    [{ HEARTBEAT: "5s", WS_HEARTBEAT: "6s" }, 'WS_HEARTBEAT="6s": the same as HEARTBEAT'],
    [{ WS_HEARTBEAT: "5" }, 'WS_HEARTBEAT="5": '],
    [{ TLS_CERT_FILE: "/x" }, "TLS_KEY_FILE (not set): the path of a file, because TLS_CERT"],
    [{ TLS_KEY_FILE: "/x" }, "TLS_CERT_FILE (not set): the path of a file, because TLS_KEY"],
    [{ TLS_SELF_SIGNED: "1", TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" }, "because TLS_CERT_FILE is"],
    [{ TURN_URLS: "turn:a.example" }, "TURN_SECRET (not set): "],
    [{ TURN_SECRET: "hush" }, "TURN_URLS (not set): "],
    [{ TURN_SECRET: ",", TURN_URLS: "turn:a" }, 'TURN_SECRET="***": '],
    [{ TURN_URLS: "turn:t.example:0", TURN_SECRET: "x" }, "TURN_URLS="],
    [{ TURN_URLS: "turn:t.example:65536", TURN_SECRET: "x" }, "TURN_URLS="],
    [{ METRICS_TOKEN: "hush hush" }, "; character 5 is not allowed"],
    [{ REDIS_URL: "localhost:6379" }, "; it does not begin with redis:// or rediss://"],
    [{ REDIS_URL: "redis://:hush@host/path" }, "; what follows the port is not a database number"],
    [{ REDIS_URL: "redis://:hu/sh@host" }, "must be written as %40"],
    [{ REDIS_URL: "redis://h?db=2" }, "nothing may follow ? or #"],
    [
      { REDIS_URL: "redis://h", STATE_FILE: "/s" },
      'STATE_FILE="/s": not set, because REDIS_URL is',
    ],
    [{ REDIS_URL: "redis://h", REDIS_CA_FILE: "/c" }, "does not begin with rediss://"],
    [{ REDIS_SENTINELS: "h" }, "REDIS_URL (not set): "],
    [{ REDIS_URL: "redis://h", REDIS_SENTINEL_USER: "u" }, "REDIS_SENTINEL_PASSWORD (not set)"],
    [
      { CODE_DIGITS: "8", CODE_DIGITS_MAX: "7" },
      'CODE_DIGITS_MAX="7": at least 8, the value of CODE',
    ],
    [{ MAILBOX_MAX_BYTES: "1048575" }, "at least 1048576, the value of WS_MAX_MSG"],
    [{ MAIL_TOTAL_BYTES: "1048575" }, "at least 1048576, the value of WS_MAX_MSG"],
    [{ WS_BUFFER_TOTAL: "262143" }, "at least 262144, the value of WS_BUFFER"],
    // Judged by itself alone.
    [{ WS_MAX_MSG: "x", MAILBOX_MAX_BYTES: "2000" }, 'WS_MAX_MSG="x": '],
    [{ BASE_PATH: "/signal", METRICS_ROUTE: "/signal/ws" }, "BASE_PATH=/signal puts /ws there"],
    [{ ICE_SERVERS: "stun:s.example:99999" }, "; entry 1 is not a stun: URL"],
    [{ ICE_SERVERS: "stun:\u212aelvin.example" }, "; entry 1 is not a stun: URL"],
    [{ ICE_SERVERS: "stun:a,turn:b" }, "; entry 2 is not a stun: URL"],
    [{ ICE_SERVERS: "{}" }, "expected array"],
    [{ ICE_SERVERS: '[{"credential":"hush"},]' }, "; it is not valid JSON"],
    [{ ICE_SERVERS: '["stun:a"]' }, "; entry 1: Invalid input: expected object"],
    [{ ICE_SERVERS: '[{"urls":"https://x"}]' }, "; entry 1 urls: has to be a stun: or turn: URL"],
    [
      { ICE_SERVERS: '[{"urls":"stun:x?transport=udp"}]' },
      "; entry 1 urls: has to be a stun: or turn: URL",
    ],
    [{ ICE_SERVERS: '[{"urls":[]}]' }, "; entry 1 urls: Too small"],
    [{ ICE_SERVERS: '[{"url":"stun:x"}]' }, "; entry 1 urls: has to be a stun: or turn: URL"],
    [{ ICE_SERVERS: '[{"urls":"turn:x"}]' }, "; entry 1: turn: URLs need username and credential"],
    [{ ICE_SERVERS: '[{"urls":"stun:x","x":1}]' }, "; entry 1: Unrecognized key"],
    [{ ICE_SERVERS: '[{"urls":"stun:x","username":""}]' }, "; entry 1 username: Too small"],
  ] as const)("%p: %s", (env, fault) => {
    expect(problems(env as Env)).toEqual([expect.stringContaining(fault)]);
    expect(problems(env as Env).join()).not.toMatch(/hush|hu\/sh/);
  });

  test.each([
    ...["https://", "https://a.example/path", "https://user@a.example", "https://*.example.com"],
    ...["https://a.example:99999", "//a.example", "a.example/path", "a.example:8080", "a b"],
    ...["*.", "**", "*.*.example", "a.*", "https://a.example?x", "https://a example", "http:a.b"],
  ])("the one wrong origin is named: %s", (entry) => {
    expect(problems({ CORS_ORIGINS: `good.example,${entry}` })).toEqual([
      expect.stringContaining(`wrong: ${JSON.stringify(entry)}`),
    ]);
  });

  test("is told all at once, a line each", () => {
    const env = { DEV: "maybe", PORT: "1\n2", TLS_CERT_FILE: "/c.pem" };
    const lines = problems(env, ["--prot", "1", "--room-ttl", "10"]);
    const names = ["--prot", "PORT", "--room-ttl", "DEV", "TLS_KEY_FILE"];
    expect(lines.map((line) => line.split(/[ =:]/)[0])).toEqual(names);
    expect(lines.join()).not.toContain("\n");
  });
});

test.each([
  [{}, ["Any web page may connect: DEV is true."]],
  [{ HOST: "127.0.0.1" }, []],
  [{ DEV: "false", PATH: "/bin", HOME: "/root" }, []],
  [{ CORS_ORIGINS: "a.example" }, []],
  [{ CORS_ORIGINS: "*" }, ["CORS_ORIGINS lists *"]],
  [{ CORS_ORIGINS: "*", HOST: "127.0.0.1" }, []],
  [{ CORS_ORIGINS: "a.example", DEV: "true" }, ["DEV=true wins over CORS_ORIGINS"]],
  [{ SERVER_NAMES: "a", DEV: "1" }, ["Any web page", "SERVER_NAMES has no effect"]],
  [{ DEV: "false", OPEN: "true" }, ["OPEN has no effect"]],
  [{ DEV: "false", DRAIN: "10s" }, ["needs REDIS_URL"]],
  [{ DEV: "false", WS_MAX_MSG: "8388608" }, ["MAILBOX_MAX_BYTES is 8388608"]],
  [{ DEV: "false", MAIL_TOTAL_BYTES: "4194304" }, ["16777216 is enough"]],
  [
    { DEV: "false", WRITE_TIMEOUT: "5s", WS_READ_BUFFER: "1" },
    ["WS_READ_BUFFER (Bun sizes its own"],
  ],
] as const)("%p starts with the warnings %p", (env, words) => {
  const expected = words.map((part) => expect.stringContaining(part));
  expect(read(env as Env).warnings).toEqual(expected);
});

test("variables and flags without effect are accepted and named in one warning", () => {
  const names = withoutEffect.flatMap(({ variables }) => variables);
  const [one = "", ...others] = names;
  const env = Object.fromEntries(others.map((name) => [name, "any"]));
  const { warnings } = read({ DEV: "false", ...env }, [flagOf(one), "4096"]);
  expect(warnings).toHaveLength(1);
  for (const name of [flagOf(one), ...others]) expect(warnings[0]).toContain(`${name} (`);
});

test.each([
  ["CORS_ORIGIN", "CORS_ORIGINS"],
  ["ROOM_TLL", "ROOM_TTL"],
  ["TURN_URL", "TURN_URLS"],
  ["PROT", "PORT"],
  ["LOG_LEVLE", "LOG_LEVEL"],
])("%s is reported as a slip of %s, without its value", (name, meant) => {
  const warning = `${name} is not a setting and is ignored. Did you mean ${meant}?`;
  expect(read({ DEV: "false", [name]: "hush" }).warnings).toEqual([warning]);
});

test("other variables are not slips", () => {
  const names = [
    "USER",
    "MEMO",
    "HOSTNAME",
    "POD_IP",
    "REDIS_PORT",
    "NODE_ENV",
    "DEBUG",
    "LOGNAME",
  ];
  const env = Object.fromEntries(names.map((name) => [name, "x"]));
  expect(read({ DEV: "false", ...env }).warnings).toEqual([]);
});

describe("flags", () => {
  test.each([
    [["--port", "9000"], { port: 9_000 }],
    [["--port= 9000 "], { port: 9_000 }],
    [["-p", "9000"], { port: 9_000 }],
    [["--quiet"], { logLevel: "error" }],
    [["--dev"], { dev: true }],
    [["--dev=true"], { dev: true }],
    [["--dev", "false"], { dev: false }],
    [["--no-dev"], { dev: false }],
    [["--dev", "--port", "1"], { dev: true, port: 1 }],
  ] as const)("%p sets %p", (args, config) => {
    expect(read({}, args).config).toMatchObject(config);
  });

  test("win over variables, and hide what is wrong with them", () => {
    const env = { PORT: "x", HEARTBEAT: "5s", WS_HEARTBEAT: "x", DEV: "true", CORS_ORIGINS: "a.b" };
    const args = ["--port", "1", "--heartbeat", "7s", "--no-dev", "--cors-origins="];
    const expected = { port: 1, heartbeatMs: 7_000, dev: false, corsOrigins: [] };
    expect(read(env, args).config).toMatchObject(expected);
  });

  test("and variables are named as the source of a value", () => {
    const { sources } = read({ PORT: "2", WS_HEARTBEAT: "5s" }, ["--port", "1"]);
    expect(sources.get("PORT")).toBe("flag --port");
    expect(sources.get("HEARTBEAT")).toBe("environment WS_HEARTBEAT");
    expect(sources.get("ROOM_TTL")).toBe("default");
  });

  test.each([
    [["--prot", "1"], "--prot: there is no such flag; did you mean --port?"],
    [["--room-tll=5m"], "--room-tll: there is no such flag; did you mean --room-ttl?"],
    [["--nodev"], "--nodev: there is no such flag; did you mean --no-dev?"],
    [["--entirely-different"], "--entirely-different: there is no such flag; see --help"],
    [["-x", "--dev"], "-x: there is no such flag; see --help"],
    [["9000"], "9000: is not a flag; settings are written like --port 9000"],
    [["--port"], "--port: needs a value: a whole number from 0 to 65535"],
    [["--port", "--dev"], "--port: needs a value: a whole number from 0 to 65535"],
    [["--port="], "--port: needs a value: a whole number from 0 to 65535"],
    [["--port", "-1"], '--port="-1": a whole number from 0 to 65535'],
    [["--port", "1", "--port=1"], "--port: is given twice; keep one of them"],
    [["--dev", "--no-dev"], "--no-dev: sets the same as --dev; keep one of them"],
    [["--heartbeat=5s", "--ws-heartbeat=5s"], "--ws-heartbeat: sets the same as --heartbeat"],
    [["--no-dev=true"], "--no-dev: takes no value; write --dev=true"],
    [["--quiet", "true"], "true: is not a flag"],
    [["--no-port"], "--no-port: there is no such flag"],
    [["--metrics-token", "hush hush"], "--metrics-token="],
    [["--metric-token", "hush-hush"], "did you mean --metrics-token?"],
    [["--metrics-tokn=hush-hush"], "did you mean --metrics-token?"],
  ])("%p is refused: %s", (args, fault) => {
    expect(problems({}, args)).toEqual([expect.stringContaining(fault)]);
    expect(problems({}, args).join()).not.toContain("hush");
  });
});

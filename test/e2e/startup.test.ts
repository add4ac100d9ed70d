import { expect, test } from "bun:test";
import { selfSigned } from "../support/certificate.ts";
import { openPair } from "../support/client.ts";
import { freePort, Program, takenPort } from "../support/program.ts";

test("the program serves what its quick start shows: mint, redeem, relay, health, metrics", async () => {
  await using program = await Program.start();
  const url = await program.listening();
  // As curl sends it: a POST without a body and without a content type.
  const minted = await fetch(new URL("/rendezvous/code", url), { method: "POST" });
  expect(minted.status).toBe(200);
  const { code, appID } = (await minted.json()) as { code: string; appID: string };
  const redeem = () =>
    fetch(new URL("/rendezvous/redeem", url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ code }),
    });
  expect(await (await redeem()).json()).toMatchObject({ appID });
  expect((await redeem()).status).toBe(410);

  await using pair = await openPair({ ws: `ws://${url.host}` }, { appId: appID });
  pair.a.send('{"type":"offer","sdp":"..."}');
  expect(await pair.b.nextText()).toBe('{"type":"offer","sdp":"..."}');

  expect(await (await fetch(new URL("/healthz", url))).json()).toEqual({ ok: true });
  expect(await (await fetch(new URL("/readyz", url))).json()).toEqual({ ready: true });
  expect(await (await fetch(new URL("/metrics", url))).text()).toContain("nt_rooms_active 1\n");
  expect(program.stderr).toBe("");
  expect(program.stdout).not.toContain(code);
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s sends an open pair away with 1001 and ends the program with 0",
  async (signal) => {
    await using program = await Program.start();
    const url = await program.listening();
    await using pair = await openPair({ ws: `ws://${url.host}` });
    program.signal(signal);
    for (const peer of [pair.a, pair.b]) {
      expect(await peer.closed).toMatchObject({ code: 1001 });
    }
    expect(await program.exit()).toBe(0);
    expect(program.stderr).toBe("");
    expect(await program.logged("stopping")).toMatchObject({ level: "info", signal });
    await expect(fetch(new URL("/healthz", url))).rejects.toThrow();
  },
);

test("all wrong settings are named at once, each with what would be right, and it exits with 1", async () => {
  await using program = await Program.start({
    PORT: "http",
    HEARTBEAT: "20",
    WS_MAX_MSG: "-1",
    DEV: "maybe",
    LOG_LEVEL: "loud",
  });
  expect(await program.exit()).toBe(1);
  const [head, ...lines] = program.stderr.trimEnd().split("\n");
  expect(head).toBe("The server cannot start with these settings:");
  expect(lines.toSorted()).toEqual([
    expect.stringMatching(/^ {2}DEV="maybe": true or false/),
    expect.stringMatching(/^ {2}HEARTBEAT="20": a duration from/),
    expect.stringMatching(/^ {2}LOG_LEVEL="loud": one of trace, debug, info, warn, error$/),
    expect.stringMatching(/^ {2}PORT="http": a whole number from 0 to 65535$/),
    expect.stringMatching(/^ {2}WS_MAX_MSG="-1": a whole number of bytes from/),
  ]);
  expect(program.stdout).toBe("");
});

test("with only one of both TLS files it does not start", async () => {
  await using certificate = await selfSigned();
  for (const [given, missing, path] of [
    ["TLS_CERT_FILE", "TLS_KEY_FILE", certificate.certFile],
    ["TLS_KEY_FILE", "TLS_CERT_FILE", certificate.keyFile],
  ] as const) {
    await using program = await Program.start({ [given]: path });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain(`${missing} (not set)`);
    expect(program.stderr).toContain(`because ${given} is set`);
  }
});

test("with both it speaks TLS", async () => {
  await using certificate = await selfSigned();
  const { certFile, keyFile } = certificate;
  await using program = await Program.start({ TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile });
  const url = await program.listening();
  expect(url.protocol).toBe("https:");
  const answer = await fetch(new URL("/healthz", url), { tls: { ca: certificate.cert } });
  expect(await answer.json()).toEqual({ ok: true });
});

test.each([
  ["a file that is not there", { TLS_CERT_FILE: "/nowhere/a.crt", TLS_KEY_FILE: "/nowhere/a.key" }],
  ["an address that is not this machine's", { HOST: "192.0.2.77" }],
  ["a host name that does not resolve", { HOST: "no-such-host.invalid" }],
])("%s is one clear line without a stack, and exit code 1", async (_, env) => {
  await using program = await Program.start(env);
  expect(await program.exit()).toBe(1);
  const [line = "", ...rest] = program.stderr.trimEnd().split("\n");
  expect(rest).toEqual([]);
  expect(line).toContain(Object.values(env)[0] as string);
});

test("a port that is taken is one clear line without a stack, and exit code 1", async () => {
  await using taken = await takenPort();
  await using program = await Program.start({ PORT: String(taken.port) });
  expect(await program.exit()).toBe(1);
  expect(program.stderr.trimEnd().split("\n")).toEqual([
    expect.stringContaining(`Port ${taken.port} is in use.`),
  ]);
  expect(program.log().map(({ level }) => level)).not.toContain("error");
});

test.each([
  ["trace", ["warn", "info", "info", "info"]],
  ["debug", ["warn", "info", "info", "info"]],
  ["info", ["warn", "info", "info", "info"]],
  ["WARN", ["warn"]],
  ["error", []],
])("LOG_LEVEL=%s lets just its own levels through", async (level, expected) => {
  const port = await freePort();
  await using program = await Program.start({ LOG_LEVEL: level, PORT: String(port), DRAIN: "1s" });
  await program.answersOn(port);
  program.signal("SIGTERM");
  expect(await program.exit()).toBe(0);
  // How many files a process may open is up to the machine.
  const lines = program.log().filter(({ msg }) => !msg.includes("may open"));
  const levels = lines.map((line) => line.level);
  expect(levels.filter((one) => one !== "trace" && one !== "debug")).toEqual(expected);
  if (level !== "trace" && level !== "debug") expect(levels).not.toContain("debug");
});

test("--version and --help answer and exit with 0, what is unknown exits with 2", async () => {
  await using version = await Program.start({}, "-v");
  await using help = await Program.start({}, "--help");
  await using unknown = await Program.start({}, "sevre");
  expect(await version.exit()).toBe(0);
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(await help.exit()).toBe(0);
  for (const named of ["Usage", "--port", "[1234]", "--tls-key-file", "help settings"]) {
    expect(help.stdout).toContain(named);
  }
  await using settings = await Program.start({}, "help", "settings");
  expect(await settings.exit()).toBe(0);
  expect(settings.stdout).toContain("--room-ttl VALUE [10m]");
  expect(await unknown.exit()).toBe(2);
  expect(unknown.stderr).toContain('Unknown command "sevre"');
});

test("config shows each setting in effect, its source and the memory that traffic may take", async () => {
  const env = {
    ROOM_TTL: "300s",
    WS_HEARTBEAT: "5s",
    METRICS_TOKEN: "hush-hush",
    WS_READ_BUF: "1",
  };
  const more = { CORS_ORIGINS: "https://a.example, b.example", WS_BUFFER_TOTAL: "67108864" };
  const sizes = { MAX_SOCKETS: "2000", WS_MAX_MSG: "262144" };
  await using config = await Program.start({ ...env, ...more, ...sizes }, "config", "-p", "9000");
  expect(await config.exit()).toBe(0);
  const lines = config.stdout.split("\n");
  const rows = lines.map((line) => line.split(/ {2,}/));
  for (const [variable = "", ...shown] of [
    ["PORT", "9000", "flag -p"],
    ["ROOM_TTL", "5m", "environment ROOM_TTL"],
    ["HEARTBEAT", "5s", "environment WS_HEARTBEAT"],
    ["CORS_ORIGINS", "https://a.example,b.example", "environment CORS_ORIGINS"],
    // Follows from another setting.
    ["DEV", "false", "default"],
    ["METRICS_TOKEN", "***", "environment METRICS_TOKEN"],
    ["TURN_SECRET", "(empty)", "default"],
  ]) {
    expect(rows).toContainEqual([variable, ...shown]);
  }
  const columns = lines.filter((line) => line.endsWith(" default")).map((line) => line.length);
  expect(new Set(columns).size).toBe(1);
  expect(lines.at(-2)).toBe(
    "Memory: up to 256 MiB of mail (MAIL_TOTAL_BYTES), 128 MiB unsent or not yet handled " +
      "(2 × WS_BUFFER_TOTAL), and 500 MiB of large messages (WS_MAX_MSG × 2,000 sockets).",
  );
  expect(config.stdout).not.toContain("hush");
  expect(config.stderr).toMatch(/^Warning: .*WS_READ_BUF \(/);
  await using wrong = await Program.start({ PORT: "x" }, "config", "--prot");
  expect(await wrong.exit()).toBe(1);
  expect(wrong.stderr.trimEnd().split("\n").slice(1)).toEqual([
    "  --prot: there is no such flag; did you mean --port?",
    '  PORT="x": a whole number from 0 to 65535',
  ]);
});

test("the address in the log has the base path", async () => {
  await using program = await Program.start({ BASE_PATH: "/signal" });
  const url = await program.listening();
  expect(url.pathname).toBe("/signal/");
  expect((await fetch(new URL("rendezvous/whoami", url))).status).toBe(200);
});

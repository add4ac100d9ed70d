import { expect, test } from "bun:test";
import { configReport } from "../../src/cli/config-command.ts";

function rows(env: Record<string, string>, args: readonly string[] = []) {
  const { text } = configReport(env, args);
  const cells = text.split("\n").map((line) => line.split(/ {2,}/));
  return new Map(cells.map(([variable = "", value, source]) => [variable, { value, source }]));
}

test("each setting is shown with its value and where that comes from", () => {
  const shown = rows({ ROOM_TTL: "300s", WS_HEARTBEAT: "5s" }, ["--port", "9000", "--no-dev"]);
  expect(shown.get("PORT")).toEqual({ value: "9000", source: "flag --port" });
  expect(shown.get("DEV")).toEqual({ value: "false", source: "flag --no-dev" });
  expect(shown.get("ROOM_TTL")).toEqual({ value: "5m", source: "environment ROOM_TTL" });
  expect(shown.get("HEARTBEAT")).toEqual({ value: "5s", source: "environment WS_HEARTBEAT" });
  expect(shown.get("MAX_SOCKETS")).toEqual({ value: "auto", source: "default" });
  expect(shown.get("TLS_CERT_FILE")).toEqual({ value: "(empty)", source: "default" });
});

test("what one setting does to another's default shows in the value", () => {
  const shown = rows({ CORS_ORIGINS: "https://a.example, b.example" });
  expect(shown.get("DEV")).toEqual({ value: "false", source: "default" });
  expect(shown.get("CORS_ORIGINS")?.value).toBe("https://a.example,b.example");
});

test("of a secret is shown only that there is one", () => {
  const { text } = configReport({ METRICS_TOKEN: "hush-hush" }, []);
  expect(text).not.toContain("hush");
  expect(text).toMatch(/^METRICS_TOKEN +\*\*\* +environment METRICS_TOKEN$/m);
  expect(rows({}).get("METRICS_TOKEN")?.value).toBe("(empty)");
});

test("the columns are aligned", () => {
  const { text } = configReport({}, []);
  const starts = text
    .trimEnd()
    .split("\n")
    .map((line) => line.lastIndexOf("default"));
  expect(new Set(starts).size).toBe(1);
});

test("settings that cannot be used are listed instead, and it fails", () => {
  const { text, exitCode } = configReport({ PORT: "x" }, ["--prot"]);
  expect(exitCode).toBe(1);
  expect(text.trimEnd().split("\n").slice(1)).toEqual([
    "  --prot: there is no such flag; did you mean --port?",
    '  PORT="x": a whole number from 0 to 65535',
  ]);
});

test("how much memory traffic may take is told in one line", () => {
  const env = { MAX_SOCKETS: "2000", WS_MAX_MSG: "262144", WS_BUFFER_TOTAL: "67108864" };
  expect(configReport(env, []).memory).toBe(
    "Memory: up to 256 MiB of mail (MAIL_TOTAL_BYTES), 128 MiB unsent or not yet handled " +
      "(2 × WS_BUFFER_TOTAL), and 500 MiB of large messages (WS_MAX_MSG × 2,000 sockets).",
  );
});

test("warnings are told beside", () => {
  expect(configReport({ WS_READ_BUF: "1" }, ["--no-dev"]).warnings).toEqual([
    expect.stringContaining("WS_READ_BUF"),
  ]);
});

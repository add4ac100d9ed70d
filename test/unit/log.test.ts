import { expect, test } from "bun:test";
import { createLog, type Log, type LogLevel } from "../../src/telemetry/log.ts";

function recorder(level: LogLevel): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({ level, write: (line) => lines.push(line), now: () => 1_700_000_000_123 });
  return { log, lines };
}

test("a line is one JSON object: time, level, message, then the fields in order", () => {
  const { log, lines } = recorder("info");
  log.info("listening", { port: 1234, tls: false, host: "::", sid: null });
  expect(lines).toEqual([
    '{"time":"2023-11-14T22:13:20.123Z","level":"info","msg":"listening",' +
      '"port":1234,"tls":false,"host":"::","sid":null}\n',
  ]);
});

test("no value can start a line of its own", () => {
  const { log, lines } = recorder("info");
  log.warn("a\nb", { x: 'c\r\n{"level":"error"}' });
  expect(lines.join("").match(/\n/g)).toHaveLength(1);
  expect(JSON.parse(lines.join(""))).toMatchObject({ msg: "a\nb", x: 'c\r\n{"level":"error"}' });
});

test("a field without a value is left out", () => {
  const { log, lines } = recorder("info");
  log.info("x", { gone: undefined });
  expect(lines.join("")).not.toContain("gone");
});

test.each([
  ["trace", ["trace", "debug", "info", "warn", "error"]],
  ["debug", ["debug", "info", "warn", "error"]],
  ["info", ["info", "warn", "error"]],
  ["warn", ["warn", "error"]],
  ["error", ["error"]],
] as const)("at level %s the log lets %p through", (level, expected) => {
  const { log, lines } = recorder(level);
  log.trace("m");
  log.debug("m");
  log.info("m");
  log.warn("m");
  log.error("m");
  expect(lines.map((line) => JSON.parse(line).level)).toEqual([...expected]);
});

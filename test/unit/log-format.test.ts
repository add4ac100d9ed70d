import { describe, expect, test } from "bun:test";
import { LogOutput } from "../../src/cli/log-output.ts";
import { logClient } from "../../src/telemetry/connection-log.ts";
import { createLog, lineRenderer, type RenderLine } from "../../src/telemetry/log.ts";
import { fakeClock } from "../support/clock.ts";

function lines(render: RenderLine, write: (log: ReturnType<typeof createLog>) => void): string {
  const told: string[] = [];
  const at = new Date(2026, 0, 1, 9, 5, 7, 42).getTime();
  write(createLog({ level: "debug", write: (line) => told.push(line), now: () => at, render }));
  return told.join("");
}

const plain = lineRenderer("pretty", false, undefined);

describe("pretty lines", () => {
  test("tell time, level, message and fields", () => {
    const told = lines(plain, (log) => {
      log.info("join", { room: "ab12", side: "A", ms: 3, gone: undefined });
      log.error("internal error", { error: "it broke", empty: "" });
    });
    expect(told).toBe(
      "09:05:07.042 INFO  join room=ab12 side=A ms=3\n" +
        '09:05:07.042 ERROR internal error error="it broke" empty=""\n',
    );
  });

  test("cannot be broken, or used to paint, by a value", () => {
    const told = lines(plain, (log) =>
      log.warn("a\nb", { x: "c\nd", y: "\u001b[2J\u009b2J\u007f" }),
    );
    expect(told.match(/\n/g)).toHaveLength(1);
    expect(told.trimEnd()).not.toMatch(/\p{Cc}/u);
  });

  test("are coloured only when asked", () => {
    const coloured = lineRenderer("pretty", true, undefined);
    expect(lines(coloured, (log) => log.warn("m"))).toContain("\u001b[33mWARN \u001b[39m");
    expect(lines(plain, (log) => log.warn("m"))).not.toContain("\u001b");
  });
});

test.each([
  ["auto", false, {}, "json"],
  ["auto", true, {}, "coloured"],
  ["auto", true, { NO_COLOR: "1" }, "plain"],
  ["auto", true, { NO_COLOR: "" }, "coloured"],
  ["pretty", false, {}, "plain"],
  ["json", true, {}, "json"],
] as const)("LOG_FORMAT=%s, terminal %p, %p: %s", (format, isTerminal, env, expected) => {
  const render = lineRenderer(format, isTerminal, "NO_COLOR" in env ? env.NO_COLOR : undefined);
  const line = render({ at: 0, level: "info", msg: "m", fields: {} });
  const style = line.startsWith("{") ? "json" : line.includes("\u001b") ? "coloured" : "plain";
  expect(style).toBe(expected);
});

test.each([
  ["192.0.2.77", "full", "192.0.2.77"],
  ["192.0.2.77", "prefix", "192.0.2.0/24"],
  ["::ffff:192.0.2.77", "prefix", "192.0.2.0/24"],
  ["2001:db8:1:2::3", "full", "2001:db8:1:2:0:0:0:3"],
  ["2001:db8:1:2::3", "prefix", "2001:db8:1::/48"],
  ["unknown", "full", "unknown"],
  ["unknown", "prefix", undefined],
  ["192.0.2.77", "none", undefined],
] as const)("of %s with LOG_CLIENT=%s the log shows %p", (address, mode, shown) => {
  expect(logClient(address, mode)).toBe(shown);
});

describe("what is written while nobody reads", () => {
  function slowReader() {
    const clock = fakeClock();
    const written: string[] = [];
    const listeners = { drain: () => {}, error: () => {} };
    let takes = true;
    let fails = false;
    let done: (error?: Error) => void = () => {};
    const output = new LogOutput(
      {
        write: (text, heard) => {
          done = heard;
          if (fails) queueMicrotask(() => heard(new Error("ENOSPC")));
          else written.push(text);
          return takes && !fails;
        },
        on: (event, listener) => {
          listeners[event] = listener;
        },
      },
      clock,
    );
    const stall = () => {
      takes = false;
      output.write("last that fits\n");
    };
    const read = () => {
      takes = true;
      listeners.drain();
    };
    /** The write under way fails, and so does each that follows. */
    const breaks = () => {
      fails = true;
      done(new Error("ENOSPC"));
      listeners.error();
    };
    const mends = () => {
      takes = true;
      fails = false;
    };
    return { clock, written, output, stall, read, breaks, mends };
  }

  test("waits, and comes in order", async () => {
    const { written, output, stall, read } = slowReader();
    stall();
    output.write("1\n");
    output.write("2\n");
    expect(written).toEqual(["last that fits\n"]);
    const flushed = output.flush(1_000);
    read();
    await flushed;
    expect(written.join("")).toBe("last that fits\n1\n2\n");
  });

  test("is counted when it is too much to keep", () => {
    const { output, stall } = slowReader();
    stall();
    for (let line = 0; line < 5; line++) output.write("x".repeat(1_048_576));
    expect(output.lost).toBe(1);
  });

  test("does not keep the program from ending", async () => {
    const { clock, output, stall } = slowReader();
    stall();
    const flushed = output.flush(1_000);
    clock.advance(1_000);
    await flushed;
  });

  test("is lost and counted when the write fails, and no end is waited for", async () => {
    const { written, output, stall, breaks } = slowReader();
    stall();
    output.write("waits\n");
    const flushed = output.flush(1_000);
    breaks();
    await flushed;
    output.write("to nobody\n");
    await output.flush(1_000);
    expect(written).toEqual(["last that fits\n"]);
    expect(output.lost).toBe(3);
  });

  test("goes on with a line of its own once writes succeed again", async () => {
    const { written, output, stall, breaks, mends } = slowReader();
    stall();
    breaks();
    output.write("lost\n");
    await output.flush(1_000);
    mends();
    output.write("1\n");
    output.write("2\n");
    expect(written.slice(1).join("")).toBe("\n1\n2\n");
    expect(output.lost).toBe(2);
  });
});

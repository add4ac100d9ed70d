import { expect, test } from "bun:test";
import {
  Prober,
  probeBehindUnsentMs,
  probeLastTurnMs,
  probeMs,
} from "../../src/signaling/prober.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

function setUp() {
  const clock = fakeClock();
  const connection = new FakeConnection();
  const prober = new Prober(connection, clock);
  const pings = () =>
    connection.calls.filter((call) => call.startsWith("ping ")).map((call) => call.slice(5));
  return { clock, connection, prober, pings };
}

/** What `answer` is by now, without waiting for more. */
async function now(answer: Promise<boolean>): Promise<boolean | "open"> {
  return Promise.race([answer, Promise.resolve("open" as const)]);
}

test("asking reads for a turn, then pings with a nonce", () => {
  const { connection, prober, pings } = setUp();
  void prober.ask();
  expect(connection.calls[0]).toBe("read for a turn");
  expect(pings()).toHaveLength(1);
});

test("any complete frame is life", async () => {
  const { prober } = setUp();
  const answer = prober.ask();
  prober.frame();
  expect(await answer).toBe(true);
});

test("the pong of the nonce is life, any other pong is not", async () => {
  const { prober, pings } = setUp();
  const answer = prober.ask();
  for (const data of ["", "1234.5", "probe-", `${pings()[0]}x`]) prober.pong(data);
  expect(await now(answer)).toBe("open");
  prober.pong(pings()[0] ?? "");
  expect(await answer).toBe(true);
});

test("a connection that closes while asked is dead", async () => {
  const { prober } = setUp();
  const answer = prober.ask();
  prober.closed();
  expect(await answer).toBe(false);
});

test.each([
  [0, probeMs],
  [1, probeBehindUnsentMs],
])("with %p bytes unsent silence is death after %p ms and a last turn", async (unsent, ms) => {
  const { clock, connection, prober } = setUp();
  connection.unsent = unsent;
  const answer = prober.ask();
  clock.advance(ms);
  expect(await now(answer)).toBe("open");
  clock.advance(probeLastTurnMs - 1);
  expect(await now(answer)).toBe("open");
  clock.advance(1);
  expect(await answer).toBe(false);
});

test("a sign of life in the last turn still counts", async () => {
  const { clock, prober, pings } = setUp();
  const answer = prober.ask();
  clock.advance(probeMs);
  prober.pong(pings()[0] ?? "");
  clock.advance(probeLastTurnMs);
  expect(await answer).toBe(true);
});

test("whoever asks while the connection is being asked gets the same answer, and no second ping", async () => {
  const { clock, prober, pings } = setUp();
  const [first, second] = [prober.ask(), prober.ask()];
  expect(pings()).toHaveLength(1);
  clock.advance(probeMs - 1);
  prober.frame();
  expect(await Promise.all([first, second])).toEqual([true, true]);
});

test("each question has a nonce and a deadline of its own", async () => {
  const { clock, prober, pings } = setUp();
  const first = prober.ask();
  clock.advance(probeMs - 1);
  prober.frame();
  expect(await first).toBe(true);
  const second = prober.ask();
  expect(new Set(pings()).size).toBe(2);
  prober.pong(pings()[0] ?? "");
  clock.advance(probeMs - 1);
  expect(await now(second)).toBe("open");
  prober.pong(pings()[1] ?? "");
  expect(await second).toBe(true);
});

test("what comes when nobody asked changes nothing", async () => {
  const { prober } = setUp();
  prober.frame();
  prober.pong("");
  prober.closed();
  const answer = prober.ask();
  expect(await now(answer)).toBe("open");
  prober.frame();
  expect(await answer).toBe(true);
});

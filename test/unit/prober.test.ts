import { expect, test } from "bun:test";
import { Prober, probeLastTurnMs, probePatience } from "../../src/signaling/prober.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

/** What an idle occupant has to answer. */
const probeMs = 1_000;

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
  void prober.ask(false);
  expect(connection.calls[0]).toBe("read for a turn");
  expect(pings()).toHaveLength(1);
});

test("any complete frame is life", async () => {
  const { prober } = setUp();
  const answer = prober.ask(false);
  prober.showsLife();
  expect(await answer).toBe(true);
});

test("the pong of the nonce is life, any other pong is not", async () => {
  const { prober, pings } = setUp();
  const answer = prober.ask(false);
  for (const data of ["", "1234.5", "probe-", `${pings()[0]}x`]) prober.pong(data);
  expect(await now(answer)).toBe("open");
  prober.pong(pings()[0] ?? "");
  expect(await answer).toBe(true);
});

test("a connection that closes while asked is dead", async () => {
  const { prober } = setUp();
  const answer = prober.ask(false);
  prober.closed();
  expect(await answer).toBe(false);
});

const idle = { roundTripMs: 0, silentMs: 20_000, unreadBytes: 0, sendsLargeFrames: false };
const [kib, most] = [1_024, 4_900];
test.each([
  ["is idle", 1_000, idle],
  ["has been silent for 2 s", 1_000, { ...idle, silentMs: 2_000 }],
  ["was heard a second ago", 2_000, { ...idle, silentMs: 1_000 }],
  ["was heard just now", 3_000, { ...idle, silentMs: 0 }],
  ["is 40 ms away", 1_080, { ...idle, roundTripMs: 40 }],
  ["is a second away", 3_000, { ...idle, roundTripMs: 1_000 }],
  ["is very far away", most, { ...idle, roundTripMs: 60_000 }],
  ["has to read 64 KiB", 2_024, { ...idle, unreadBytes: 64 * kib }],
  ["has to read 200 kB", 4_125, { ...idle, unreadBytes: 200_000 }],
  ["has to read a GiB", most, { ...idle, unreadBytes: kib ** 3 }],
  ["may send a large frame", most, { ...idle, sendsLargeFrames: true }],
])("an occupant that %s has %p ms to answer", (_, ms, occupant) => {
  expect(probePatience(occupant)).toBe(ms);
});

test("silence is death once patience and a last turn are over", async () => {
  const { clock, connection, prober } = setUp();
  connection.unread = 64 * kib;
  const answer = prober.ask(false);
  clock.advance(2_024);
  expect(await now(answer)).toBe("open");
  clock.advance(probeLastTurnMs - 1);
  expect(await now(answer)).toBe("open");
  clock.advance(1);
  expect(await answer).toBe(false);
});

test("a sign of life in the last turn still counts", async () => {
  const { clock, prober, pings } = setUp();
  const answer = prober.ask(false);
  clock.advance(probeMs);
  prober.pong(pings()[0] ?? "");
  clock.advance(probeLastTurnMs);
  expect(await answer).toBe(true);
});

test("whoever asks while the connection is being asked gets the same answer, and no second ping", async () => {
  const { clock, prober, pings } = setUp();
  const [first, second] = [prober.ask(false), prober.ask(false)];
  expect(pings()).toHaveLength(1);
  clock.advance(probeMs - 1);
  prober.showsLife();
  expect(await Promise.all([first, second])).toEqual([true, true]);
});

test("each question has a nonce and a deadline of its own", async () => {
  const { clock, prober, pings } = setUp();
  const first = prober.ask(false);
  clock.advance(probeMs - 1);
  prober.showsLife();
  expect(await first).toBe(true);
  const second = prober.ask(false);
  expect(new Set(pings()).size).toBe(2);
  prober.pong(pings()[0] ?? "");
  clock.advance(probeMs - 1);
  expect(await now(second)).toBe("open");
  prober.pong(pings()[1] ?? "");
  expect(await second).toBe(true);
});

test("what comes when nobody asked changes nothing", async () => {
  const { prober } = setUp();
  prober.showsLife();
  prober.pong("");
  prober.closed();
  const answer = prober.ask(false);
  expect(await now(answer)).toBe("open");
  prober.showsLife();
  expect(await answer).toBe(true);
});

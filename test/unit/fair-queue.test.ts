import { expect, test } from "bun:test";
import { Ledger } from "../../src/base/ledger.ts";
import type { PauseReason } from "../../src/signaling/context.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Inbox } from "../../src/signaling/inbox.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

const chunk = 1_000;

/** A socket of which the kernel has frames, read a chunk a turn unless it is paused. */
class Socket extends FakeConnection {
  paused = 0;
  kernel: string[] = [];
  handled: string[] = [];
  override pause(reason: PauseReason): void {
    this.paused |= reason;
  }
  override resume(reason: PauseReason): void {
    this.paused &= ~reason;
  }
}

/** An event loop whose handler of frames takes `costMs` for each of them. */
function loop(costMs: number) {
  const clock = fakeClock();
  const due: (() => void)[] = [];
  const fairQueue = new FairQueue(clock, new Ledger(1e9), (run) => void due.push(run));
  const options = { clock, wsMaxMsgBytes: 1_048_576, framesPerSec: 1e6, fairQueue };
  const all: { socket: Socket; inbox: Inbox }[] = [];
  return {
    clock,
    fairQueue,
    open(...keys: readonly string[]): Socket {
      const socket = new Socket();
      const accounts = keys.map((key, i) => ({ key, kind: i > 0 ? "site" : "client" }) as const);
      fairQueue.join(socket, accounts);
      const handle = (text: string) => {
        clock.advance(costMs);
        socket.handled.push(text);
        return undefined;
      };
      all.push({ socket, inbox: new Inbox(socket, options, { handle }, accounts) });
      return socket;
    },
    /** Reads what can be read, then does what is due. Answers how long that took, ms. */
    turn(): number {
      const from = clock.monotonicMs();
      for (const { socket, inbox } of all) {
        // One that is paused in the midst of its chunk still brings the rest.
        for (const text of socket.paused ? [] : socket.kernel.splice(0, chunk)) {
          socket.heardAt = clock.monotonicMs();
          inbox.push(text);
        }
      }
      for (const run of due.splice(0)) run();
      const took = clock.monotonicMs() - from;
      clock.advance(1);
      return took;
    },
  };
}

const frames = (count: number) =>
  Array.from({ length: count }, (_, i) => `{"type":"ice","n":${i}}`);

test("however many sockets flood, turns are short, others pass at once, and no frame is lost", () => {
  const { open, turn, fairQueue } = loop(0.02);
  const crowd = Array.from({ length: 200 }, () => open("192.0.2.1"));
  const other = open("192.0.2.2");
  const sent = frames(300);
  for (const socket of crowd) socket.kernel = [...sent];
  let longest = 0;
  let turns = 0;
  const isOver = () => crowd.every(({ handled }) => handled.length === sent.length);
  while (!isOver() || fairQueue.waiting() > 0) {
    if (++turns > 100_000) throw new Error("It never ends");
    other.kernel = ["honest"];
    longest = Math.max(longest, turn());
    expect(other.handled).toHaveLength(turns);
  }
  expect(longest).toBeLessThan(20);
  for (const { handled, paused } of crowd) {
    expect(handled).toEqual(sent);
    expect(paused).toBe(0);
  }
});

test("a client with many sockets gets as much as one with a few, and a /48 as much as half of all", () => {
  const { open, turn, clock } = loop(0.02);
  const many = Array.from({ length: 100 }, () => open("192.0.2.1"));
  const few = Array.from({ length: 10 }, () => open("192.0.2.2"));
  const site = Array.from({ length: 100 }, (_, n) => open(`2001:db8:0:${n}::/64`, "2001:db8::/48"));
  for (const socket of [...many, ...few, ...site]) socket.kernel = frames(20_000);
  while (clock.monotonicMs() < 4_000) turn();
  const [a, b, c] = [many, few, site].map((of) =>
    of.reduce((n, { handled }) => n + handled.length, 0),
  );
  expect(a).toBeWithin(0.7 * (b as number), 1.4 * (b as number));
  expect(c).toBeLessThan(5 * (a as number));
});

test("a socket that closes while it waits holds nobody up", () => {
  const { open, turn, fairQueue } = loop(0.02);
  const crowd = Array.from({ length: 50 }, () => open("192.0.2.1"));
  for (const socket of crowd) socket.kernel = frames(500);
  turn();
  expect(fairQueue.waiting()).toBe(1);
  for (const socket of crowd.slice(1)) {
    fairQueue.part(socket);
    socket.kernel = [];
  }
  for (let turns = 0; turns < 1_000; turns++) turn();
  expect(crowd[0]?.handled).toEqual(frames(500));
  expect(fairQueue.waiting()).toBe(0);
});

test("large frames have a quarter of the time, by client in turn", () => {
  const { open, turn, clock, fairQueue } = loop(20);
  const greedy = Array.from({ length: 19 }, () => open("192.0.2.1"));
  const other = open("192.0.2.2");
  for (const { kernel } of [...greedy, other]) {
    kernel.push(...Array.from({ length: 200 }, () => "x".repeat(20_000)));
  }
  while (clock.monotonicMs() < 20_000) turn();
  expect(fairQueue.largeMs).toBeWithin(4_500, 5_500);
  const byGreedy = greedy.reduce((n, { handled }) => n + handled.length, 0);
  expect(Math.abs(byGreedy - other.handled.length)).toBeLessThan(25);
});

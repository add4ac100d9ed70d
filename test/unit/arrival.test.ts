import { describe, expect, test } from "bun:test";
import type { Clock } from "../../src/base/clock.ts";
import { newAppId } from "../../src/base/ids.ts";
import { Ledger } from "../../src/base/ledger.ts";
import type {
  Busy,
  Engine,
  Newcomer,
  Seat,
  Seats,
  Taken,
  Waiter,
} from "../../src/engine/engine.ts";
import { Arrival } from "../../src/signaling/arrival.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { RecordingListener } from "../contract/listener.ts";
import { fakeClock } from "../support/clock.ts";

/** Lets everything happen that hangs on answers already given. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** A newcomer, and what became of it. */
function arrive(newcomer: Newcomer, engine: Engine, clock: Clock) {
  const ended: string[] = [];
  const tally = new Tally();
  const context = {
    engine,
    clock,
    tally,
    heartbeatMs: 20_000,
    wsMaxMsgBytes: 65_536,
    framesPerSec: 0,
    fairQueue: new FairQueue(clock, new Ledger(Number.POSITIVE_INFINITY)),
  };
  const arrival = new Arrival(newcomer, context, {
    parked: () => {},
    seated: ({ seat }) => ended.push(`seated ${seat.token}`),
    refuse: (reason) => ended.push(reason),
  });
  return { arrival, ended, tally };
}

describe("a newcomer at an engine that takes its time", () => {
  const busy: Busy = { outcome: "busy", token: 1 };

  /** An engine whose answers a test gives: to `take` by hand, to `probe` by `probed`. */
  function slowEngine(isFreeAtFirst: boolean) {
    let parks = 0;
    const takes: string[] = [];
    const left: Seat[] = [];
    const answers: PromiseWithResolvers<Taken | Busy>[] = [];
    const probed = Promise.withResolvers<"alive" | "dead" | "gone">();
    let waiter: Waiter | undefined;
    const seats: Seats = {
      take: (_, how) => {
        takes.push(JSON.stringify(how));
        const answer = Promise.withResolvers<Taken | Busy>();
        answers.push(answer);
        return answer.promise;
      },
      leave: (seat) => {
        left.push(seat);
        return Promise.resolve(true);
      },
      probe: () => probed.promise,
      park: async (_appId, _side, parked) => {
        if (parks++ === 0 && isFreeAtFirst) return undefined;
        waiter = parked;
        return { times: 1, unpark() {} };
      },
    };
    /** Answers the oldest `take` that waits. */
    const answer = async (outcome: Taken | Busy) => {
      answers.shift()?.resolve(outcome);
      await settle();
    };
    const engine = { seats } as unknown as Engine;
    return { engine, takes, left, answer, probed, vacant: () => waiter?.vacant() };
  }

  async function parked(isFreeAtFirst = false) {
    const slow = slowEngine(isFreeAtFirst);
    const listener = new RecordingListener();
    const newcomer = {
      appId: newAppId(),
      side: "A",
      sid: "s",
      accounts: [],
      listener,
    } as const;
    const arrived = arrive(newcomer, slow.engine, fakeClock());
    arrived.arrival.take();
    await slow.answer(busy);
    slow.takes.length = 0;
    return { ...slow, ...arrived };
  }

  test("claims one seat at a time, and again when it became free during a claim", async () => {
    const { takes, answer, arrival, vacant } = await parked();
    arrival.spoke();
    vacant();
    vacant();
    expect(takes).toEqual(['"same_sid"']);
    await answer(busy);
    expect(takes).toEqual(['"same_sid"', '"free"']);
    await answer(busy);
    expect(takes).toHaveLength(2);
  });

  test("waits for a seat that was free when it came to wait, and that another got first", async () => {
    const { takes, answer, vacant } = await parked(true);
    await answer({ outcome: "busy", token: 2 });
    expect(takes).toEqual([]);
    vacant();
    expect(takes).toEqual(['"free"']);
  });

  test("claims the seat of the dead also when that was found during another claim", async () => {
    const { takes, answer, arrival, probed } = await parked();
    arrival.spoke();
    probed.resolve("dead");
    await settle();
    await answer(busy);
    expect(takes).toEqual(['"same_sid"', '{"dead":1}']);
  });

  test("that has gone meanwhile gives up the seat that it is given", async () => {
    const { answer, arrival, ended, left } = await parked();
    arrival.spoke();
    arrival.stop();
    const seat: Seat = { appId: newAppId(), side: "A", token: 2 };
    await answer({
      outcome: "taken",
      seat,
      peer: false,
      firstPair: false,
      held: 0,
      lastSeq: 0,
      mailWaits: false,
    });
    expect(ended).toEqual([]);
    expect(left).toEqual([seat]);
  });
});

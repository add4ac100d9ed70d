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
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { Arrival, displacedAfterMs } from "../../src/signaling/arrival.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";
import { RecordingListener } from "../contract/listener.ts";
import { type SitOptions, sit } from "../contract/seating.ts";
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

async function setUp({ sid = "" }: SitOptions = {}) {
  const clock = fakeClock();
  const engine = memoryEngine({ now: clock.now, limits: contractLimits, dropped: () => {} });
  const appId = newAppId();
  const occupant = await sit(engine, appId, "A", { sid });
  /** Lets a newcomer come that finds the seat taken by whoever has this token. */
  const park = async (newSid = "", token = occupant.seat.token) => {
    const listener = new RecordingListener();
    const newcomer = {
      appId,
      side: "A",
      sid: newSid,
      accounts: [],
      startsRelay: true,
      listener,
    } as const;
    let takes = 0;
    const { seats } = engine;
    const take: Seats["take"] = (who, how) =>
      takes++ === 0 ? { outcome: "busy", token } : seats.take(who, how);
    const asked: Engine = { ...engine, seats: Object.assign(Object.create(seats), { take }) };
    const arrived = arrive(newcomer, asked, clock);
    arrived.arrival.take();
    await settle();
    return { ...arrived, listener };
  };
  return { clock, engine, appId, occupant, park };
}

describe("a newcomer", () => {
  test("gets the seat of an occupant that is found dead", async () => {
    const { occupant, park } = await setUp();
    occupant.listener.alive = () => Promise.resolve(false);
    const { ended } = await park();
    expect(ended).toEqual([`seated ${occupant.seat.token + 1}`]);
    expect(occupant.listener.unheard).toEqual(["probed", "replaced dead"]);
  });

  test("waits beside a living one: the first 5 s, the second 10 s, the third 15 s", async () => {
    const { clock, park } = await setUp();
    for (const ms of [5_000, 10_000, 15_000, 15_000]) {
      const { ended } = await park();
      clock.advance(ms - 1);
      expect(ended).toEqual([]);
      clock.advance(1);
      expect(ended).toEqual(["busy"]);
    }
  });

  test("counts its patience from the occupant's answer", async () => {
    const { clock, occupant, park } = await setUp();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    occupant.listener.alive = () => promise;
    const { ended } = await park();
    clock.advance(3_000);
    resolve(true);
    await settle();
    clock.advance(4_999);
    expect(ended).toEqual([]);
    clock.advance(1);
    expect(ended).toEqual(["busy"]);
  });

  test.each(["while it is asked", "after it was found alive"])(
    "gets the seat when the occupant leaves %s",
    async (when) => {
      const { engine, occupant, park } = await setUp();
      if (when === "while it is asked") occupant.listener.alive = () => new Promise(() => {});
      const { ended } = await park();
      await engine.seats.leave(occupant.seat);
      await settle();
      expect(ended).toEqual([`seated ${occupant.seat.token + 1}`]);
    },
  );

  test("gets the seat when the occupant had left before it parked", async () => {
    const { engine, occupant, park } = await setUp();
    await engine.seats.leave(occupant.seat);
    const { ended } = await park();
    expect(ended).toEqual([`seated ${occupant.seat.token + 1}`]);
  });

  test("takes its own client's seat over at its first frame, not before", async () => {
    const { occupant, park } = await setUp({ sid: "s" });
    const { arrival, ended } = await park("s");
    expect(ended).toEqual([]);
    arrival.spoke();
    expect(ended).toEqual([`seated ${occupant.seat.token + 1}`]);
    await occupant.listener.hears("probed", "replaced same_sid");
  });

  test.each([
    ["s", "t"],
    ["s", ""],
    ["", ""],
  ])("takes nothing over from sid %p with sid %p, whatever it sends", async (old, sid) => {
    const { clock, park } = await setUp({ sid: old });
    const { arrival, ended } = await park(sid);
    arrival.spoke();
    arrival.spoke();
    clock.advance(5_000);
    expect(ended).toEqual(["busy"]);
  });

  test("waits like any other while a guard keeps it from its own client's seat", async () => {
    const { clock, engine, appId, park } = await setUp({ sid: "s" });
    const heir = await sit(engine, appId, "A", { sid: "s", how: "same_sid" });
    const { arrival, ended } = await park("s", heir.seat.token);
    arrival.spoke();
    clock.advance(5_000);
    expect(ended).toEqual(["busy"]);
    expect(heir.listener.unheard).toEqual(["probed"]);
  });

  test("gets a dead occupant's seat though a guard kept it from taking it by sid", async () => {
    const { engine, appId, park } = await setUp({ sid: "s" });
    const heir = await sit(engine, appId, "A", { sid: "s", how: "same_sid" });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    heir.listener.alive = () => promise;
    const { arrival, ended } = await park("s", heir.seat.token);
    arrival.spoke();
    expect(ended).toEqual([]);
    resolve(false);
    await settle();
    expect(ended).toEqual([`seated ${heir.seat.token + 1}`]);
  });

  test("asks again when the seat has gone to somebody else meanwhile", async () => {
    const { engine, appId, occupant, park } = await setUp();
    occupant.listener.alive = () => new Promise(() => {});
    await engine.seats.leave(occupant.seat);
    const quick = await sit(engine, appId, "A");
    quick.listener.alive = () => Promise.resolve(false);
    const { ended } = await park("", occupant.seat.token);
    expect(ended).toEqual([`seated ${quick.seat.token + 1}`]);
    await quick.listener.hears("probed", "replaced dead");
  });

  test("that is displaced at once is sent away after 3 s, that no two spin", async () => {
    const { clock, park } = await setUp();
    const first = await park();
    const second = await park();
    clock.advance(displacedAfterMs - 1);
    expect(first.ended).toEqual([]);
    clock.advance(1);
    expect(first.ended).toEqual(["displaced"]);
    expect(second.ended).toEqual([]);
  });

  test("that is displaced after a while is sent away at once", async () => {
    const { clock, park } = await setUp();
    const first = await park();
    clock.advance(displacedAfterMs + 1);
    await park();
    clock.advance(0);
    expect(first.ended).toEqual(["displaced"]);
  });

  test("that is displaced gets no seat, whatever it sends and whoever leaves", async () => {
    const { clock, engine, occupant, park } = await setUp({ sid: "s" });
    const first = await park("s");
    const second = await park("t");
    first.arrival.spoke();
    await engine.seats.leave(occupant.seat);
    await settle();
    expect(second.ended).toEqual([`seated ${occupant.seat.token + 1}`]);
    clock.advance(displacedAfterMs);
    expect(first.ended).toEqual(["displaced"]);
  });

  test("that has gone neither takes the seat nor hears of it, and costs nobody a place", async () => {
    const { clock, engine, occupant, park } = await setUp();
    const gone = await park();
    gone.arrival.stop();
    gone.arrival.spoke();
    const next = await park();
    await engine.seats.leave(occupant.seat);
    await settle();
    clock.advance(60_000);
    expect(gone.ended).toEqual([]);
    expect(next.ended).toEqual([`seated ${occupant.seat.token + 1}`]);
  });
});

describe("a newcomer at an engine that takes its time", () => {
  const busy: Busy = { outcome: "busy", token: 1 };

  /** An engine whose answers a test gives: to `take` by hand, to `probe` by `probed`. */
  function slowEngine() {
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

  async function parked() {
    const slow = slowEngine();
    const listener = new RecordingListener();
    const newcomer = {
      appId: newAppId(),
      side: "A",
      sid: "s",
      accounts: [],
      startsRelay: true,
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
      started: true,
      lastSeq: 0,
      mailWaits: false,
    });
    expect(ended).toEqual([]);
    expect(left).toEqual([seat]);
  });
});

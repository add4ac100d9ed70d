import { describe, expect, test } from "bun:test";
import { type AppId, newAppId } from "../../src/base/ids.ts";
import { entryCostBytes } from "../../src/engine/engine.ts";
import { contractLimits, type EngineUnderTest, type MakeEngine } from "./engine-contract.ts";
import { join, mail, mint, pair, race, readAll, sendAll, sit, take, tryToSit } from "./seating.ts";

/** Short of a room's end by more than a test can take. */
const marginMs = 5_000;

export function roomsContract(make: MakeEngine): void {
  const { relayHoldMs, roomTtlMs } = contractLimits;

  /** A pair was here, and both have left. */
  async function deserted({ engine }: EngineUnderTest, appId: AppId = newAppId()) {
    const { a, b } = await pair(engine, appId);
    await engine.seats.leave(a.seat);
    await engine.seats.leave(b.seat);
    return appId;
  }
  /** Only a room that was forgotten becomes two for the first time again. */
  async function isForgotten({ engine }: EngineUnderTest, appId: AppId) {
    await sit(engine, appId, "A");
    return (await sit(engine, appId, "B")).taken.firstPair;
  }
  /** Somebody is there, and stays. */
  async function occupy({ engine }: EngineUnderTest, appId: AppId = newAppId()) {
    return sit(engine, appId, "A");
  }
  /** Somebody was there and has left. */
  async function visit(under: EngineUnderTest, appId: AppId = newAppId()) {
    const { seat } = await occupy(under, appId);
    await under.engine.seats.leave(seat);
    return appId;
  }

  /** What a newcomer to side A hears. */
  async function comes({ engine }: EngineUnderTest, appId: AppId = newAppId()) {
    return (await tryToSit(engine, appId, "A")).answer.outcome;
  }

  describe("a room", () => {
    test("is kept while somebody is seated, however long", async () => {
      await using under = await make();
      const { appId, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      await under.advance(roomTtlMs * 10);
      await under.engine.sweep();
      expect((await sit(under.engine, appId, "B")).taken.firstPair).toBe(false);
    });

    test("is kept for relayHoldMs after the last side left", async () => {
      await using under = await make();
      const appId = await deserted(under);
      await under.advance(relayHoldMs - marginMs);
      expect(await isForgotten(under, appId)).toBe(false);
    });

    test("is forgotten relayHoldMs after the last side left", async () => {
      await using under = await make();
      const appId = await deserted(under);
      await under.advance(relayHoldMs);
      expect(await isForgotten(under, appId)).toBe(true);
    });

    test("is forgotten at once with a hold of 0", async () => {
      await using under = await make({ relayHoldMs: 0 });
      expect(await isForgotten(under, await deserted(under))).toBe(true);
    });

    test("counts its time from the last that left, not from the first", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(a.seat);
      await under.advance(relayHoldMs);
      await under.engine.seats.leave(b.seat);
      await under.advance(relayHoldMs - marginMs);
      expect(await isForgotten(under, appId)).toBe(false);
    });

    test("is kept for roomTtlMs when mail waits, and the mail with it", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      await under.advance(roomTtlMs - marginMs);
      const back = await join(under.engine, appId, "B");
      expect(await readAll(under.engine, back.seat)).toEqual(["1 1"]);
    });

    test("takes its mail along when roomTtlMs is over, and says how much that was", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2"]);
      await sendAll(under.engine, a.seat, "A", ["3"]);
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      await under.advance(roomTtlMs);
      const back = await join(under.engine, appId, "B");
      expect(back.taken).toMatchObject({ lastSeq: 0, mailWaits: false });
      expect(await readAll(under.engine, back.seat)).toEqual([]);
      expect(await under.dropped("room_forgotten")).toBe(3);
      await sendAll(under.engine, back.seat, "B", ["new"]);
      expect(await readAll(under.engine, back.seat)).toEqual(["1 new"]);
    });

    test("whose mail was acknowledged is not kept for it", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await readAll(under.engine, b.seat);
      await under.engine.mailboxes.ack(b.seat, 1);
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      await under.advance(relayHoldMs);
      expect(await isForgotten(under, appId)).toBe(true);
    });

    test("gives back what its mail and its held frames took of the bound over all", async () => {
      await using under = await make({ mailTotalBytes: 2 * entryCostBytes + 10 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["12345"]);
      await under.engine.seats.leave(b.seat);
      expect(await under.engine.relay.publish(a.seat, "12345", "ice")).toBe("held");
      await under.engine.seats.leave(a.seat);
      await under.advance(roomTtlMs);
      await under.engine.sweep();
      const other = await pair(under.engine);
      expect(await sendAll(under.engine, other.a.seat, "B", ["1", "123456789"])).toEqual([
        "stored",
        "stored",
      ]);
    });

    test.each([
      ["lives", false],
      ["was redeemed", true],
    ])("is kept for roomTtlMs when its code %s", async (_, redeemed) => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { ttlMs: roomTtlMs * 2 });
      await deserted(under, appId);
      if (redeemed) await take(under.engine, "1234");
      await under.advance(roomTtlMs - marginMs);
      expect(await isForgotten(under, appId)).toBe(false);
      const other = await mint(under.engine, "5678", { ttlMs: roomTtlMs * 2 });
      await deserted(under, other);
      if (redeemed) await take(under.engine, "5678");
      await under.advance(roomTtlMs);
      expect(await isForgotten(under, other)).toBe(true);
    });

    test("is kept for roomTtlMs though its redeemed code has rested meanwhile", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { restMs: 1_000 });
      const { a, b } = await pair(under.engine, appId);
      await take(under.engine, "1234");
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      await under.advance(roomTtlMs - marginMs);
      await under.engine.sweep();
      expect(await isForgotten(under, appId)).toBe(false);
    });

    test("is not kept for a code that expired unused, whenever that is noticed", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { ttlMs: 60_000 });
      await deserted(under, appId);
      await under.advance(60_000);
      expect(await isForgotten(under, appId)).toBe(true);
    });

    test("is not kept for a code that expired unused, once swept", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { ttlMs: 60_000 });
      await deserted(under, appId);
      await under.advance(60_000);
      await under.engine.sweep();
      expect(await isForgotten(under, appId)).toBe(true);
    });

    test("that was forgotten knows nothing of its earlier seats", async () => {
      await using under = await make();
      const appId = newAppId();
      const old = await sit(under.engine, appId, "A");
      await under.engine.seats.leave(old.seat);
      await under.advance(relayHoldMs);
      const { seat } = await sit(under.engine, appId, "A");
      expect(await under.engine.seats.leave(old.seat)).toBe(false);
      expect(await under.engine.relay.publish(old.seat, "late", "ice")).toBe("replaced");
      const late = await under.engine.mailboxes.append(old.seat, "A", mail("1"));
      expect(late).toEqual({ outcome: "replaced" });
      expect(await readAll(under.engine, old.seat)).toEqual([]);
      const { answer } = await tryToSit(under.engine, appId, "A");
      expect(answer).toEqual({ outcome: "busy", token: seat.token });
    });
  });

  describe("admission", () => {
    test("minted rooms are admitted up to maxRooms, and no further", async () => {
      await using under = await make({ maxRooms: 4 });
      for (const text of ["1111", "2222", "3333", "4444"]) {
        const appId = await mint(under.engine, text);
        await occupy(under, appId);
      }
      expect(await comes(under, await mint(under.engine, "5555"))).toBe("full");
    });

    test("rooms that were not minted are admitted up to half of maxRooms", async () => {
      await using under = await make({ maxRooms: 4 });
      await occupy(under);
      await occupy(under);
      expect(await comes(under)).toBe("full");
      expect(await comes(under, await mint(under.engine, "1111"))).toBe("taken");
    });

    test("a redeemed code's room counts as minted", async () => {
      await using under = await make({ maxRooms: 2 });
      const minted = await mint(under.engine, "1111");
      await take(under.engine, "1111");
      await occupy(under);
      expect(await comes(under, minted)).toBe("taken");
    });

    test("a room that exists admits its sides however full it is elsewhere", async () => {
      await using under = await make({ maxRooms: 2 });
      const { seat } = await occupy(under);
      expect(await comes(under)).toBe("full");
      expect((await tryToSit(under.engine, seat.appId, "B")).answer.outcome).toBe("taken");
    });

    test("who is refused takes no space", async () => {
      await using under = await make({ maxRooms: 2 });
      const { seat } = await occupy(under);
      for (let asked = 0; asked < 10; asked++) expect(await comes(under)).toBe("full");
      await under.engine.seats.leave(seat);
      expect(await comes(under)).toBe("taken");
    });

    test("of racing new rooms no more are admitted than there is space for", async () => {
      await using under = await make({ maxRooms: 8 });
      const tries = await race(32, () => tryToSit(under.engine, newAppId(), "A"));
      const outcomes = tries.map(({ answer }) => answer.outcome);
      expect(outcomes.filter((outcome) => outcome === "taken")).toHaveLength(4);
      expect(outcomes.filter((outcome) => outcome === "full")).toHaveLength(28);
    });

    test("a room that stands empty without mail gives way", async () => {
      await using under = await make({ maxRooms: 4 });
      const bare = await deserted(under);
      await occupy(under);
      await occupy(under);
      expect(await comes(under)).toBe("full");
      expect(await comes(under, bare)).toBe("full");
    });

    test("no more rooms give way than have to", async () => {
      await using under = await make({ maxRooms: 6 });
      await deserted(under);
      await deserted(under);
      await occupy(under);
      await occupy(under);
      await under.engine.sweep();
      expect(under.engine.sizes().rooms).toBe(3);
    });

    test("a room with mail or with somebody in it never gives way", async () => {
      await using under = await make({ maxRooms: 4 });
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      await occupy(under);
      expect(await comes(under)).toBe("full");
      const back = await join(under.engine, appId, "B");
      expect(await readAll(under.engine, back.seat)).toEqual(["1 1"]);
    });

    test("a room that is occupied again no longer gives way", async () => {
      await using under = await make({ maxRooms: 2 });
      const appId = await visit(under);
      await occupy(under, appId);
      expect(await comes(under)).toBe("full");
    });

    test("a room whose time is over takes no space, whenever that is noticed", async () => {
      await using under = await make({ maxRooms: 2 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await under.engine.seats.leave(a.seat);
      await under.engine.seats.leave(b.seat);
      expect(await comes(under)).toBe("full");
      await under.advance(roomTtlMs);
      expect(await comes(under)).toBe("taken");
    });
  });

  describe("establishing", () => {
    test("the first to establish learns the room's age, all later ones nothing", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.advance(30_000);
      const ageMs = await under.engine.rooms.establish(a.seat);
      expect(ageMs).toBeGreaterThanOrEqual(30_000);
      expect(ageMs).toBeLessThan(30_000 + marginMs);
      expect(await under.engine.rooms.establish(a.seat)).toBeUndefined();
      expect(await under.engine.rooms.establish(b.seat)).toBeUndefined();
    });

    test("of 32 that race to establish one is told the age", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      const ages = await race(32, (i) => under.engine.rooms.establish(i % 2 ? a.seat : b.seat));
      expect(ages.filter((age) => age !== undefined)).toHaveLength(1);
    });

    test("a room is established once, over reconnects", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      await under.engine.rooms.establish(a.seat);
      await under.engine.seats.leave(a.seat);
      const back = await join(under.engine, appId, "A");
      expect(await under.engine.rooms.establish(back.seat)).toBeUndefined();
    });

    test("the age counts from the first seat taken", async () => {
      await using under = await make();
      const appId = newAppId();
      await mint(under.engine, "1111", { appId });
      await under.advance(20_000);
      await sit(under.engine, appId, "A");
      await under.advance(10_000);
      const { seat } = await sit(under.engine, appId, "B");
      const ageMs = await under.engine.rooms.establish(seat);
      expect(ageMs).toBeGreaterThanOrEqual(10_000);
      expect(ageMs).toBeLessThan(10_000 + marginMs);
    });
  });
}

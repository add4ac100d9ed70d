import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { MakeEngine } from "./engine-contract.ts";
import { join, mail, pair, race, sit, tryToSit } from "./seating.ts";

export function seatsContract(make: MakeEngine): void {
  describe("seats", () => {
    test("the first in a room sits alone, with nothing held and no mail", async () => {
      await using under = await make();
      const { taken, listener } = await sit(under.engine, newAppId(), "A");
      expect(taken).toMatchObject({ peer: false, firstPair: false, held: 0 });
      expect(taken).toMatchObject({ lastSeq: 0, mailWaits: false });
      expect(listener.unheard).toEqual([]);
    });

    test("the second completes the pair, and the first hears peerJoined", async () => {
      await using under = await make();
      const appId = newAppId();
      const a = await sit(under.engine, appId, "A");
      const b = await sit(under.engine, appId, "B");
      expect(b.taken).toMatchObject({ peer: true, firstPair: true });
      await a.listener.hears("peerJoined");
      expect(b.listener.unheard).toEqual([]);
    });

    test("a room becomes two for the first time only once", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      const back = await sit(under.engine, appId, "B");
      expect(back.taken).toMatchObject({ peer: true, firstPair: false });
      await a.listener.hears("peerLeft", "peerJoined");
    });

    test("of two sides that race for a new room exactly one finds the other there", async () => {
      await using under = await make();
      const appId = newAppId();
      const sides = await race(2, (i) => sit(under.engine, appId, i === 0 ? "A" : "B"));
      expect(sides.map(({ taken }) => taken.peer).toSorted()).toEqual([false, true]);
      expect(sides.map(({ taken }) => taken.firstPair).toSorted()).toEqual([false, true]);
      const first = sides.find(({ taken }) => !taken.peer);
      await first?.listener.hears("peerJoined");
    });

    test("of 32 racing takers one gets the seat, the others learn its token", async () => {
      await using under = await make();
      const appId = newAppId();
      const tries = await race(32, () => tryToSit(under.engine, appId, "A"));
      const taken = tries.flatMap(({ answer }) => (answer.outcome === "taken" ? [answer] : []));
      expect(taken).toHaveLength(1);
      const token = taken[0]?.seat.token ?? -1;
      const busy = tries.filter(({ answer }) => answer.outcome !== "taken");
      for (const { answer } of busy) expect(answer).toEqual({ outcome: "busy", token });
    });

    test("rooms do not meet: the same side is free in another one", async () => {
      await using under = await make();
      const here = await sit(under.engine, newAppId(), "A");
      const there = await sit(under.engine, newAppId(), "B");
      expect(there.taken.peer).toBe(false);
      expect(here.listener.unheard).toEqual([]);
    });

    test("a seat says whose it is, and tokens grow with every take in the room", async () => {
      await using under = await make();
      const appId = newAppId();
      const tokens: number[] = [];
      for (const side of ["A", "B", "A", "B", "A"] as const) {
        const { seat } = await sit(under.engine, appId, side, { sid: "s", how: "free" });
        expect(seat).toMatchObject({ appId, side });
        tokens.push(seat.token);
        await under.engine.seats.leave(seat);
      }
      expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
    });

    test("leave frees the seat, and the other side hears peerLeft", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      expect(await under.engine.seats.leave(b.seat)).toBe(true);
      await a.listener.hears("peerLeft");
      expect((await tryToSit(under.engine, appId, "B")).answer.outcome).toBe("taken");
    });

    test("leaving twice does nothing the second time, of 32 racing leaves one counts", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      const left = await race(32, () => under.engine.seats.leave(b.seat));
      expect(left.filter(Boolean)).toHaveLength(1);
      expect(await under.engine.seats.leave(b.seat)).toBe(false);
      await under.engine.mailboxes.append(a.seat, "A", mail("1"));
      expect(await a.listener.until("mailStored")).toEqual(["peerLeft"]);
    });

    test("an old seat's leave frees nothing", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      const back = await join(under.engine, appId, "B");
      await a.listener.hears("peerLeft", "peerJoined");
      expect(await under.engine.seats.leave(b.seat)).toBe(false);
      const { answer } = await tryToSit(under.engine, appId, "B");
      expect(answer).toEqual({ outcome: "busy", token: back.seat.token });
      await under.engine.relay.publish(back.seat, "still here", "ice");
      await a.listener.hears("relayed still here");
    });

    test("whoever has left hears nothing more of the room", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "frame", "ice");
      await under.engine.mailboxes.append(a.seat, "B", mail("1"));
      const back = await join(under.engine, appId, "B");
      await back.listener.until("relayed frame");
      await under.engine.seats.leave(a.seat);
      await back.listener.until("peerLeft");
      expect(b.listener.unheard).toEqual([]);
    });

    test("a taker learns of the mail that waits and of the last seq", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.mailboxes.append(a.seat, "B", mail("1"));
      await under.engine.mailboxes.append(a.seat, "B", mail("2"));
      await under.engine.seats.leave(b.seat);
      const waiting = await sit(under.engine, appId, "B");
      expect(waiting.taken).toMatchObject({ lastSeq: 2, mailWaits: true });
      await under.engine.mailboxes.read(waiting.seat, 0, 1_000);
      await under.engine.mailboxes.ack(waiting.seat, 2);
      await under.engine.seats.leave(waiting.seat);
      const done = await sit(under.engine, appId, "B");
      expect(done.taken).toMatchObject({ lastSeq: 2, mailWaits: false });
    });
  });
}

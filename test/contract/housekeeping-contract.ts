import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { entryCostBytes } from "../../src/engine/engine.ts";
import { until } from "../support/waiting.ts";
import { contractLimits, type MakeEngine } from "./engine-contract.ts";
import {
  client,
  countCodes,
  join,
  mail,
  mint,
  pair,
  readAll,
  sendAll,
  take,
  tryToSit,
} from "./seating.ts";

export function housekeepingContract(make: MakeEngine): void {
  const { relayHoldMs, roomTtlMs } = contractLimits;

  describe("housekeeping", () => {
    test("an engine that can serve is ready", async () => {
      await using under = await make();
      expect(await under.engine.ready()).toBeUndefined();
    });

    test("a sweep takes nothing that is still due to somebody", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await mint(under.engine, "1234");
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "held", "ice");
      await under.engine.sweep();
      const back = await join(under.engine, appId, "B");
      await back.listener.hears("relayed held");
      expect(await readAll(under.engine, back.seat)).toEqual(["1 1"]);
      expect((await countCodes(under.engine)).live).toBe(1);
    });

    test("whether a room is admitted does not hang on when the engine was swept", async () => {
      const outcomes: string[] = [];
      for (const sweeps of [false, true]) {
        await using under = await make({ maxRooms: 2 });
        const appId = await mint(under.engine, "1234", { ttlMs: 1_000, restMs: 1_000 });
        await join(under.engine, newAppId(), "A");
        await under.advance(roomTtlMs);
        if (sweeps) await under.engine.sweep();
        outcomes.push((await tryToSit(under.engine, appId, "A")).answer.outcome);
      }
      expect(outcomes[0]).toBe(outcomes[1]);
    });

    test("sizes are what is held right now", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await join(under.engine, newAppId(), "A");
      await mint(under.engine, "1111", { accounts: client("c") });
      await mint(under.engine, "2222", { accounts: client("c") });
      await take(under.engine, "2222");
      await sendAll(under.engine, a.seat, "B", ["é", "12"]);
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "ééé", "ice");
      await under.engine.sweep();
      expect(under.engine.sizes()).toMatchObject({
        rooms: 2,
        peers: 2,
        codesLive: 1,
        codesResting: 1,
        codeClients: 1,
        mailboxes: 1,
        mails: 2,
        mailBytes: 2 * entryCostBytes + 4,
        heldFrames: 1,
        heldBytes: entryCostBytes + 6,
      });
    });

    test("nothing is left of rooms and codes whose time is over, once swept", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await mint(under.engine, "1111", { accounts: client("c") });
      await under.engine.mailboxes.append(a.seat, "B", mail("1", "id"));
      await under.engine.relay.publish(a.seat, "relayed", "ice");
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "held", "ice");
      await under.engine.seats.leave(a.seat);
      await under.advance(roomTtlMs * 2);
      await under.engine.sweep();
      const { rooms, peers, codesLive, codesResting, codeClients } = under.engine.sizes();
      expect([rooms, peers, codesLive, codesResting, codeClients]).toEqual([0, 0, 0, 0, 0]);
      const { mailboxes, mails, mailBytes, heldFrames, heldBytes } = under.engine.sizes();
      expect([mailboxes, mails, mailBytes, heldFrames, heldBytes]).toEqual([0, 0, 0, 0, 0]);
      expect(under.engine.sizes().idBytes).toBe(0);
      await until("what nodes have told each other to be read", async () => {
        await under.engine.sweep();
        return under.engine.sizes().streamBytes === 0;
      });
    });

    test("frames held for a side that stayed away are collected though the other stays", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "held", "ice");
      await under.advance(relayHoldMs);
      await under.engine.sweep();
      expect(under.engine.sizes()).toMatchObject({ heldFrames: 0, heldBytes: 0 });
      expect(await under.dropped("hold_expired")).toBe(1);
    });
  });
}

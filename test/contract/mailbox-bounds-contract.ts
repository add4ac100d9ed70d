import { describe, expect, test } from "bun:test";
import type { Side } from "../../src/base/ids.ts";
import { entryCostBytes } from "../../src/engine/engine.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import { join, mail, pair, readAll, type Seated, sendAll, strictMail } from "./seating.ts";

export function mailboxBoundsContract(make: MakeEngine): void {
  async function acknowledge(under: EngineUnderTest, { seat }: Seated, upTo: number) {
    await readAll(under.engine, seat);
    await under.engine.mailboxes.ack(seat, upTo);
  }
  async function strictly(under: EngineUnderTest, { seat }: Seated, to: Side, payload: string) {
    return (await under.engine.mailboxes.append(seat, to, strictMail(payload))).outcome;
  }

  describe("a mailbox's bounds", () => {
    test("mailboxMaxMails mails are stored; one more is refused and drops none of them", async () => {
      await using under = await make({ mailboxMaxMails: 2 });
      const { a, b } = await pair(under.engine);
      expect(await sendAll(under.engine, a.seat, "B", ["1", "2", "3"])).toEqual([
        "stored",
        "stored",
        "full",
      ]);
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1", "2 2"]);
    });

    test("mailboxMaxBytes bytes of UTF-8 are stored and no byte more", async () => {
      await using under = await make({ mailboxMaxBytes: 10 });
      const { a, b } = await pair(under.engine);
      expect(await sendAll(under.engine, a.seat, "B", ["ééé", "12345", "1234", "1"])).toEqual([
        "stored",
        "full",
        "stored",
        "full",
      ]);
      expect(await readAll(under.engine, b.seat)).toEqual(["1 ééé", "2 1234"]);
    });

    test("mailTotalBytes bounds all mailboxes together", async () => {
      await using under = await make({ mailTotalBytes: 3 * entryCostBytes + 10 });
      const one = await pair(under.engine);
      const two = await pair(under.engine);
      expect(await sendAll(under.engine, one.a.seat, "B", ["1234"])).toEqual(["stored"]);
      expect(await sendAll(under.engine, one.a.seat, "A", ["1234"])).toEqual(["stored"]);
      expect(await sendAll(under.engine, two.a.seat, "B", ["123", "12"])).toEqual([
        "full",
        "stored",
      ]);
      await acknowledge(under, one.b, 1);
      expect(await sendAll(under.engine, two.a.seat, "B", ["1234"])).toEqual(["stored"]);
    });

    test("a refused mail uses up no seq", async () => {
      await using under = await make({ mailboxMaxMails: 1 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "refused"]);
      await acknowledge(under, b, 1);
      await sendAll(under.engine, a.seat, "B", ["2"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["2 2"]);
    });

    test("one full mailbox leaves the others of its room open", async () => {
      await using under = await make({ mailboxMaxMails: 1 });
      const { a } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "refused"]);
      expect(await sendAll(under.engine, a.seat, "A", ["1"])).toEqual(["stored"]);
    });

    test("a sender that can be told may send again as soon as there is space", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3", "4", "refused"]);
      await acknowledge(under, b, 1);
      expect(await sendAll(under.engine, a.seat, "B", ["5", "refused"])).toEqual([
        "stored",
        "full",
      ]);
    });
  });

  describe("a strict sender that met a full mailbox", () => {
    test("is refused until no more than half of the mails are left", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3", "4"]);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
      await acknowledge(under, b, 1);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
      await acknowledge(under, b, 2);
      expect(await strictly(under, a, "B", "5")).toBe("stored");
      expect(await strictly(under, a, "B", "6")).toBe("stored");
      expect(await strictly(under, a, "B", "refused")).toBe("full");
    });

    test("is refused until no more than half of the bytes are left", async () => {
      await using under = await make({ mailboxMaxBytes: 12 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1234", "12", "123456"]);
      expect(await strictly(under, a, "B", "1")).toBe("full");
      await acknowledge(under, b, 1);
      expect(await strictly(under, a, "B", "1")).toBe("full");
      await acknowledge(under, b, 2);
      expect(await strictly(under, a, "B", "1")).toBe("stored");
    });

    test("stays refused on its next connection", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3", "4"]);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
      await acknowledge(under, b, 1);
      await under.engine.seats.leave(a.seat);
      const back = await join(under.engine, appId, "A");
      expect(await strictly(under, back, "B", "refused")).toBe("full");
    });

    test("stays refused when a sender that can be told fills the space meanwhile", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3", "4"]);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
      await acknowledge(under, b, 1);
      expect(await sendAll(under.engine, b.seat, "B", ["5"])).toEqual(["stored"]);
      await acknowledge(under, b, 2);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
    });

    test("stays refused when a sender that can be told meets the full mailbox too", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3", "4"]);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
      expect(await sendAll(under.engine, b.seat, "B", ["refused"])).toEqual(["full"]);
      await acknowledge(under, b, 1);
      expect(await strictly(under, a, "B", "refused")).toBe("full");
    });

    test("that never met a full mailbox is not refused", async () => {
      await using under = await make({ mailboxMaxMails: 4 });
      const { a } = await pair(under.engine);
      for (const payload of ["1", "2", "3", "4"]) {
        expect(await strictly(under, a, "B", payload)).toBe("stored");
      }
      const known = await under.engine.mailboxes.append(a.seat, "A", mail("1"));
      expect(known.outcome).toBe("stored");
    });
  });
}

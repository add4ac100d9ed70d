import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { rememberedIds } from "../../src/engine/engine.ts";
import type { MakeEngine } from "./engine-contract.ts";
import { brief, join, mail, pair, race, readAll, sendAll, sit } from "./seating.ts";

export function mailboxesContract(make: MakeEngine): void {
  describe("mailboxes", () => {
    test("mail is numbered from 1 without gaps and read back in order, with its sender", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      for (const [seat, seq] of [
        [a.seat, 1],
        [b.seat, 2],
        [a.seat, 3],
      ] as const) {
        const stored = await mailboxes.append(seat, "B", mail(`"${seq}"`));
        expect(stored).toEqual({ outcome: "stored", seq });
      }
      expect(await mailboxes.read(b.seat, 0, 1_000)).toEqual([
        { seq: 1, from: "A", payload: '"1"' },
        { seq: 2, from: "B", payload: '"2"' },
        { seq: 3, from: "A", payload: '"3"' },
      ]);
    });

    test("racing appends get every seq once", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      const stored = await race(32, (i) =>
        under.engine.mailboxes.append(i % 2 ? a.seat : b.seat, "B", mail(String(i))),
      );
      const seqs = stored.map((answer) => (answer.outcome === "stored" ? answer.seq : 0));
      const expected = Array.from({ length: 32 }, (_, i) => i + 1);
      expect(seqs.toSorted((x, y) => x - y)).toEqual(expected);
      expect(await readAll(under.engine, b.seat)).toHaveLength(32);
    });

    test("each side of each room has a mailbox of its own", async () => {
      await using under = await make();
      const here = await pair(under.engine);
      const there = await pair(under.engine);
      await sendAll(under.engine, here.a.seat, "A", ["1"]);
      await sendAll(under.engine, here.a.seat, "B", ["2"]);
      await sendAll(under.engine, there.a.seat, "B", ["3"]);
      expect(await readAll(under.engine, here.a.seat)).toEqual(["1 1"]);
      expect(await readAll(under.engine, here.b.seat)).toEqual(["1 2"]);
      expect(await readAll(under.engine, there.b.seat)).toEqual(["1 3"]);
    });

    test.each([
      '"text"',
      '{ "spaced" :\t1e400, "n":  123456789012345678901234567890 }',
      '"\\u00e9 é 漢字 👩‍🚀 \\ud800"',
      '""',
      "null",
    ])("a payload is kept as it is: %p", async (payload) => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.engine.mailboxes.append(a.seat, "B", mail(payload));
      expect(await readAll(under.engine, b.seat)).toEqual([`1 ${payload}`]);
    });

    test("mail waits for a side not yet seen", async () => {
      await using under = await make();
      const appId = newAppId();
      const a = await join(under.engine, appId, "A");
      await sendAll(under.engine, a.seat, "B", ["1", "2"]);
      const b = await join(under.engine, appId, "B");
      expect(b.taken).toMatchObject({ mailWaits: true, lastSeq: 2 });
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1", "2 2"]);
    });

    test("mail outlives the connections of both until it is acknowledged", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2"]);
      await readAll(under.engine, b.seat);
      await under.engine.seats.leave(b.seat);
      await under.engine.seats.leave(a.seat);
      const back = await join(under.engine, appId, "B");
      expect(await readAll(under.engine, back.seat)).toEqual(["1 1", "2 2"]);
    });

    test("mailStored tells the addressee of each mail, its own included", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await b.listener.hears("mailStored");
      await sendAll(under.engine, a.seat, "B", ["2"]);
      await b.listener.hears("mailStored");
      await sendAll(under.engine, a.seat, "A", ["3"]);
      await a.listener.hears("mailStored");
      expect(b.listener.unheard).toEqual([]);
    });

    test("refused and repeated mail is not announced", async () => {
      await using under = await make({ mailboxMaxMails: 1 });
      const { a, b } = await pair(under.engine);
      await under.engine.mailboxes.append(a.seat, "B", mail("1", "id"));
      await b.listener.hears("mailStored");
      await under.engine.mailboxes.append(a.seat, "B", mail("1", "id"));
      await under.engine.mailboxes.append(a.seat, "B", mail("2"));
      await under.engine.relay.publish(a.seat, "frame", "ice");
      await b.listener.hears("relayed frame");
    });
  });

  describe("reading mail", () => {
    test("read gives what comes after a seq, and nothing after the last", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      expect(await readAll(under.engine, b.seat, 1)).toEqual(["2 2", "3 3"]);
      expect(await readAll(under.engine, b.seat, 3)).toEqual([]);
      expect(await readAll(under.engine, b.seat, 1_000)).toEqual([]);
      expect(await readAll(under.engine, a.seat)).toEqual([]);
    });

    test("a batch is as much as fits maxBytes of UTF-8, and one mail at least", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["éé", "1234", "1", "1234567890", "1"]);
      const read = async (after: number, maxBytes: number) =>
        brief(await mailboxes.read(b.seat, after, maxBytes));
      expect(await read(0, 8)).toEqual(["1 éé", "2 1234"]);
      expect(await read(0, 7)).toEqual(["1 éé"]);
      expect(await read(0, 1)).toEqual(["1 éé"]);
      expect(await read(2, 5)).toEqual(["3 1"]);
      expect(await read(3, 5)).toEqual(["4 1234567890"]);
      expect(await read(0, 0)).toEqual(["1 éé"]);
    });

    test("reading takes nothing away", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2"]);
      expect(await readAll(under.engine, b.seat)).toEqual(await readAll(under.engine, b.seat));
    });
  });

  describe("acknowledging mail", () => {
    test("ack drops up to and including its seq, and numbering goes on", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await mailboxes.ack(b.seat, 2);
      expect(await readAll(under.engine, b.seat)).toEqual(["3 3"]);
      await mailboxes.ack(b.seat, 3);
      expect(await readAll(under.engine, b.seat)).toEqual([]);
      await sendAll(under.engine, a.seat, "B", ["4"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["4 4"]);
    });

    test.each([0, 1, 2])("ack of %p, which is gone already, changes nothing", async (upTo) => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await under.engine.mailboxes.ack(b.seat, 2);
      await under.engine.mailboxes.ack(b.seat, upTo);
      expect(await readAll(under.engine, b.seat)).toEqual(["3 3"]);
    });

    test("ack beyond the last mail drops what there is and moves no number", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2"]);
      await readAll(under.engine, b.seat);
      await under.engine.mailboxes.ack(b.seat, 1_000);
      await sendAll(under.engine, a.seat, "B", ["3"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["3 3"]);
    });

    test("ack of an empty mailbox is harmless", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.engine.mailboxes.ack(b.seat, 1_000);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1"]);
    });

    test("long runs of mail are dropped bit by bit and stay in order", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      for (let seq = 1; seq <= 300; seq++) {
        await mailboxes.append(a.seat, "B", mail(String(seq)));
        if (seq % 3 !== 0) continue;
        await mailboxes.read(b.seat, 0, 1_000_000);
        await mailboxes.ack(b.seat, seq - 40);
      }
      const expected = Array.from({ length: 40 }, (_, i) => `${261 + i} ${261 + i}`);
      expect(await readAll(under.engine, b.seat)).toEqual(expected);
    });
  });

  describe("ids of mail", () => {
    test("the same id again is answered with the seq of then, and stored once", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await mailboxes.append(a.seat, "B", mail("1"));
      const first = await mailboxes.append(a.seat, "B", mail("2", "id"));
      expect(first).toEqual({ outcome: "stored", seq: 2 });
      const again = await mailboxes.append(a.seat, "B", mail("other", "id"));
      expect(again).toEqual({ outcome: "stored", seq: 2 });
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1", "2 2"]);
    });

    test("of 32 racing mails with one id one is stored, and all are told its seq", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      const answers = await race(32, () =>
        under.engine.mailboxes.append(a.seat, "B", mail("1", "id")),
      );
      expect(answers).toEqual(Array(32).fill({ outcome: "stored", seq: 1 }));
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1"]);
    });

    test("an id outlives its sender's connection and the mail itself", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { appId, a, b } = await pair(under.engine);
      await mailboxes.append(a.seat, "B", mail("1", "id"));
      await mailboxes.read(b.seat, 0, 1_000);
      await mailboxes.ack(b.seat, 1);
      await under.engine.seats.leave(a.seat);
      const back = await sit(under.engine, appId, "A");
      const again = await mailboxes.append(back.seat, "B", mail("1", "id"));
      expect(again).toEqual({ outcome: "stored", seq: 1 });
    });

    test("the two sides' ids do not meet", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await mailboxes.append(a.seat, "B", mail("1", "id"));
      const other = await mailboxes.append(b.seat, "B", mail("2", "id"));
      expect(other).toEqual({ outcome: "stored", seq: 2 });
    });

    test(`the last ${rememberedIds} ids are remembered, and none before them`, async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a } = await pair(under.engine);
      const send = (n: number) => mailboxes.append(a.seat, "B", mail("1", `id ${n}`));
      for (let n = 1; n <= rememberedIds; n++) await send(n);
      expect(await send(1)).toMatchObject({ seq: 1 });
      await send(rememberedIds + 1);
      expect(await send(2)).toMatchObject({ seq: 2 });
      expect(await send(1)).toEqual({
        outcome: "stored",
        seq: rememberedIds + 2,
      });
    });

    test("a mail that was refused has not used its id", async () => {
      await using under = await make({ mailboxMaxMails: 1 });
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await mailboxes.append(a.seat, "B", mail("1", "one"));
      const refused = await mailboxes.append(a.seat, "B", mail("2", "two"));
      expect(refused).toEqual({ outcome: "full" });
      const known = await mailboxes.append(a.seat, "B", mail("1", "one"));
      expect(known).toEqual({ outcome: "stored", seq: 1 });
      await mailboxes.read(b.seat, 0, 1_000);
      await mailboxes.ack(b.seat, 1);
      const stored = await mailboxes.append(a.seat, "B", mail("2", "two"));
      expect(stored).toEqual({ outcome: "stored", seq: 2 });
    });
  });
}

import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { MakeEngine } from "./engine-contract.ts";
import { join, pair, readAll, sendAll } from "./seating.ts";

/** The highest watermark that signaling lets through. */
const highest = 2 ** 53 - 2 ** 32;

export function watermarksContract(make: MakeEngine): void {
  describe("hello", () => {
    test("a watermark up to the highest seq sent acknowledges", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      expect(await mailboxes.hello(b.seat, 2)).toEqual({ moved: 0, before: 2 });
      expect(await readAll(under.engine, b.seat)).toEqual(["3 3"]);
      expect(await mailboxes.hello(b.seat, 3)).toEqual({ moved: 0, before: 3 });
      expect(await readAll(under.engine, b.seat)).toEqual([]);
    });

    test("an old watermark, and 0, change nothing", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      expect(await mailboxes.hello(b.seat, 0)).toEqual({ moved: 0, before: 0 });
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await mailboxes.ack(b.seat, 2);
      for (const upTo of [0, 1, 2]) {
        expect(await mailboxes.hello(b.seat, upTo)).toEqual({ moved: 0, before: 2 });
      }
      expect(await readAll(under.engine, b.seat)).toEqual(["3 3"]);
    });

    test("a hello of 0 loses no mail that nobody has read", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      await under.engine.mailboxes.hello(b.seat, 0);
      expect(await readAll(under.engine, b.seat)).toEqual(["1 1"]);
    });

    test.each([4, 100, highest])("a watermark of another life, %p, drops nothing", async (upTo) => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      expect(await mailboxes.hello(b.seat, upTo)).toEqual({ moved: upTo, before: upTo });
      expect(await readAll(under.engine, b.seat)).toEqual([
        `${upTo + 1} 1`,
        `${upTo + 2} 2`,
        `${upTo + 3} 3`,
      ]);
      await sendAll(under.engine, a.seat, "B", ["4"]);
      expect(await readAll(under.engine, b.seat, upTo + 3)).toEqual([`${upTo + 4} 4`]);
    });

    test("moved is how far the seqs moved when some mail was gone already", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await mailboxes.ack(b.seat, 2);
      expect(await mailboxes.hello(b.seat, 10)).toEqual({ moved: 8, before: 10 });
      expect(await readAll(under.engine, b.seat, 10)).toEqual(["11 3"]);
    });

    test("a watermark beyond what was sent, though not beyond what is stored, drops nothing", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await mailboxes.read(b.seat, 0, 1);
      expect(await mailboxes.hello(b.seat, 2)).toEqual({ moved: 2, before: 2 });
      expect(await readAll(under.engine, b.seat)).toEqual(["3 1", "4 2", "5 3"]);
    });

    test("an empty mailbox takes the client's numbering on", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      expect(await mailboxes.hello(b.seat, 100)).toMatchObject({ before: 100 });
      const stored = await mailboxes.append(a.seat, "B", {
        payload: "1",
        id: undefined,
        strict: true,
      });
      expect(stored).toMatchObject({ seq: 101 });
      expect(await readAll(under.engine, b.seat)).toEqual(["101 1"]);
    });

    test("after another life acks and hellos go by the new numbers", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { appId, a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await mailboxes.hello(b.seat, 100);
      await readAll(under.engine, b.seat);
      await mailboxes.ack(b.seat, 101);
      await under.engine.seats.leave(b.seat);
      const back = await join(under.engine, appId, "B");
      expect(back.taken).toMatchObject({ lastSeq: 103, mailWaits: true });
      expect(await mailboxes.hello(back.seat, 102)).toEqual({ moved: 0, before: 102 });
      expect(await readAll(under.engine, back.seat)).toEqual(["103 3"]);
    });

    test("a new number that no read has given out is no watermark to acknowledge by", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await readAll(under.engine, b.seat);
      await mailboxes.hello(b.seat, 100);
      expect(await mailboxes.hello(b.seat, 102)).toEqual({ moved: 2, before: 102 });
      expect(await readAll(under.engine, b.seat)).toEqual(["103 1", "104 2", "105 3"]);
    });

    test("an ack ahead of all reading does not let seqs run backwards", async () => {
      await using under = await make();
      const { mailboxes } = under.engine;
      const { a, b } = await pair(under.engine);
      await sendAll(under.engine, a.seat, "B", ["1", "2", "3"]);
      await mailboxes.ack(b.seat, 3);
      expect(await mailboxes.hello(b.seat, 1)).toEqual({ moved: 0, before: 3 });
      await sendAll(under.engine, a.seat, "B", ["4"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["4 4"]);
    });

    test("renumbering concerns one side's mailbox only", async () => {
      await using under = await make();
      const appId = newAppId();
      const a = await join(under.engine, appId, "A");
      await sendAll(under.engine, a.seat, "A", ["1"]);
      await sendAll(under.engine, a.seat, "B", ["1"]);
      const b = await join(under.engine, appId, "B");
      await under.engine.mailboxes.hello(b.seat, 7);
      expect(await readAll(under.engine, a.seat)).toEqual(["1 1"]);
      expect(await readAll(under.engine, b.seat)).toEqual(["8 1"]);
    });
  });
}

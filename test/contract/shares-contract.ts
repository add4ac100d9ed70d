import { describe, expect, test } from "bun:test";
import type { Account } from "../../src/base/account.ts";
import { newAppId } from "../../src/base/ids.ts";
import { entryCostBytes, rememberedIds } from "../../src/engine/engine.ts";
import { contractLimits, type EngineUnderTest, type MakeEngine } from "./engine-contract.ts";
import {
  join,
  mail,
  mint,
  pair,
  readAll,
  sendAll,
  sit,
  strictMail,
  subscriber,
  tryToSit,
} from "./seating.ts";

const client = (key: string): Account => ({ key, kind: "client" });
/** Mails, or frames, of one byte that a budget has space for. */
const spaceFor = (entries: number) => entries * (entryCostBytes + 1);

/** What one client, and one site, may make an engine hold of what all share. */
export function sharesContract(make: MakeEngine): void {
  const me = [client("192.0.2.1")];
  const other = [client("192.0.2.2")];
  /** Clients of one customer, and of as many customers of one site. */
  const household = Array.from({ length: 8 }, (_, i) => subscriber(`${i}`, "customer", "site"));
  const neighbours = Array.from({ length: 8 }, (_, i) => subscriber("a", `neighbour${i}`, "site"));
  const mails = (count: number) => Array<string>(count).fill("1");

  describe("what is counted", () => {
    test("each mail counts its payload and a fixed cost until it is acknowledged", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine, newAppId(), me);
      await sendAll(under.engine, a.seat, "B", ["1", "12345"]);
      await under.engine.sweep();
      expect(under.engine.sizes().mailBytes).toBe(2 * entryCostBytes + 6);
      await readAll(under.engine, b.seat);
      await under.engine.mailboxes.ack(b.seat, 1);
      await under.engine.sweep();
      expect(under.engine.sizes().mailBytes).toBe(entryCostBytes + 5);
    });

    test("an id counts also when its mail is acknowledged, until it is forgotten", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine, newAppId(), me);
      for (let n = 0; n <= rememberedIds; n++) {
        await under.engine.mailboxes.append(a.seat, "B", mail("1", `id ${1_000 + n}`));
      }
      await readAll(under.engine, b.seat);
      await under.engine.mailboxes.ack(b.seat, rememberedIds + 1);
      await under.engine.sweep();
      const idBytes = rememberedIds * (entryCostBytes + 7);
      expect(under.engine.sizes()).toMatchObject({ mailBytes: 0, idBytes });
    });

    test("mailTotalBytes bounds mail, held frames and ids together", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(4) });
      const { a, b } = await pair(under.engine);
      await under.engine.mailboxes.append(a.seat, "B", mail("1", "i"));
      await under.engine.seats.leave(b.seat);
      expect(await under.engine.relay.publish(a.seat, "1", "ice")).toBe("held");
      const refused = await under.engine.mailboxes.append(a.seat, "B", mail("1", "j"));
      expect(refused).toEqual({ outcome: "full" });
      expect(await sendAll(under.engine, a.seat, "B", mails(2))).toEqual(["stored", "full"]);
      expect(await under.engine.relay.publish(a.seat, "1", "ice")).toBe("hold_full");
    });
  });

  describe("a client's share of mail", () => {
    test("is an eighth, over all of its rooms, and others notice nothing", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(16) });
      const { engine } = under;
      const one = await pair(engine, newAppId(), me);
      const two = await pair(engine, newAppId(), me);
      expect(await sendAll(engine, one.a.seat, "B", mails(1))).toEqual(["stored"]);
      expect(await sendAll(engine, two.a.seat, "B", mails(2))).toEqual(["stored", "share_full"]);
      const theirs = await pair(engine, newAppId(), other);
      expect(await sendAll(engine, theirs.a.seat, "B", mails(2))).toEqual(["stored", "stored"]);
    });

    test("is a quarter for a customer, which leaves its neighbours as much, and half for a site", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(32) });
      const store = async (clients: readonly (readonly Account[])[]) => {
        const outcomes: string[] = [];
        for (const accounts of clients) {
          const { a } = await pair(under.engine, newAppId(), accounts);
          outcomes.push(...(await sendAll(under.engine, a.seat, "B", mails(2))));
        }
        return outcomes.filter((outcome) => outcome === "stored").length;
      };
      expect(await store(household)).toBe(8);
      expect(await store(neighbours)).toBe(8);
      expect(await store([other])).toBe(2);
    });

    test("is given back when its mail is acknowledged, by whomever, and after it has left", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(8) });
      const { engine } = under;
      const appId = newAppId();
      const a = await join(engine, appId, "A", { accounts: me });
      const b = await join(engine, appId, "B", { accounts: other });
      await sendAll(engine, a.seat, "B", mails(1));
      await engine.seats.leave(a.seat);
      const elsewhere = await pair(engine, newAppId(), me);
      expect(await sendAll(engine, elsewhere.a.seat, "B", mails(1))).toEqual(["share_full"]);
      expect(await sendAll(engine, b.seat, "B", mails(1))).toEqual(["stored"]);
      await readAll(engine, b.seat);
      await engine.mailboxes.ack(b.seat, 1);
      expect(await sendAll(engine, b.seat, "B", mails(1))).toEqual(["share_full"]);
      expect(await sendAll(engine, elsewhere.a.seat, "B", mails(1))).toEqual(["stored"]);
    });

    test("is given back when its room is forgotten", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(16) });
      const { engine } = under;
      const { a, b } = await pair(engine, newAppId(), me);
      await engine.mailboxes.append(a.seat, "B", mail("1", "i"));
      await engine.seats.leave(a.seat);
      await engine.seats.leave(b.seat);
      await under.advance(contractLimits.roomTtlMs);
      await engine.sweep();
      const next = await pair(engine, newAppId(), me);
      expect(await sendAll(engine, next.a.seat, "B", mails(2))).toEqual(["stored", "stored"]);
    });

    test("counts ids, which outlive their mail", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(16) });
      const { engine } = under;
      const { a, b } = await pair(engine, newAppId(), me);
      await engine.mailboxes.append(a.seat, "B", mail("1", "i"));
      expect(await sendAll(engine, a.seat, "B", mails(1))).toEqual(["share_full"]);
      await readAll(engine, b.seat);
      await engine.mailboxes.ack(b.seat, 1);
      expect(await sendAll(engine, a.seat, "B", mails(2))).toEqual(["stored", "share_full"]);
    });

    test("closes the box to a strict sender as a full box does", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(16), mailboxMaxMails: 3 });
      const { engine } = under;
      const { a, b } = await pair(engine, newAppId(), me);
      await sendAll(engine, a.seat, "B", mails(2));
      const append = async () =>
        (await engine.mailboxes.append(a.seat, "B", strictMail("1"))).outcome;
      expect(await append()).toBe("share_full");
      await readAll(engine, b.seat);
      await engine.mailboxes.ack(b.seat, 1);
      expect(await append()).toBe("stored");
    });
  });

  describe("a client's share of held frames", () => {
    test("is an eighth, of one budget with its mail", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(16) });
      const { engine } = under;
      async function left(accounts: readonly Account[]) {
        const { a, b } = await pair(engine, newAppId(), accounts);
        await engine.seats.leave(b.seat);
        return a;
      }
      const a = await left(me);
      await sendAll(engine, a.seat, "B", mails(1));
      expect(await engine.relay.publish(a.seat, "1", "ice")).toBe("held");
      expect(await engine.relay.publish(a.seat, "1", "ice")).toBe("hold_share");
      expect(await engine.relay.publish((await left(other)).seat, "1", "ice")).toBe("held");
    });

    test("is given back when they are delivered", async () => {
      await using under = await make({ mailTotalBytes: spaceFor(8) });
      const { engine } = under;
      const { appId, a, b } = await pair(engine, newAppId(), me);
      await engine.seats.leave(b.seat);
      expect(await engine.relay.publish(a.seat, "1", "ice")).toBe("held");
      expect(await sendAll(engine, a.seat, "B", mails(1))).toEqual(["share_full"]);
      await join(engine, appId, "B", { accounts: other });
      expect(await sendAll(engine, a.seat, "B", mails(1))).toEqual(["stored"]);
    });
  });

  describe("a client's share of rooms that were not minted here", () => {
    const create = async ({ engine }: EngineUnderTest, accounts: readonly Account[]) =>
      (await tryToSit(engine, newAppId(), "A", { accounts })).answer.outcome;

    test("is an eighth, and others notice nothing", async () => {
      await using under = await make({ maxRooms: 32 });
      expect(await create(under, me)).toBe("taken");
      expect(await create(under, me)).toBe("taken");
      expect(await create(under, me)).toBe("share_full");
      expect(await create(under, other)).toBe("taken");
    });

    test("is a quarter for a customer, which leaves its neighbours as much, and half for a site", async () => {
      await using under = await make({ maxRooms: 64 });
      const take = async (clients: readonly (readonly Account[])[]) => {
        const outcomes: string[] = [];
        for (const accounts of [...clients, ...clients]) {
          outcomes.push(await create(under, accounts));
        }
        return outcomes.filter((outcome) => outcome === "taken").length;
      };
      expect(await take(household)).toBe(8);
      expect(await take(neighbours)).toBe(8);
      expect(await take([other])).toBe(2);
    });

    test("cannot be stretched by leaving rooms with mail behind", async () => {
      await using under = await make({ maxRooms: 32 });
      const { engine } = under;
      for (let n = 0; n < 2; n++) {
        const { seat } = await sit(engine, newAppId(), "A", { accounts: me });
        await sendAll(engine, seat, "B", mails(1));
        await engine.seats.leave(seat);
      }
      expect(await create(under, me)).toBe("share_full");
      for (let n = 0; n < 2; n++) expect(await create(under, other)).toBe("taken");
    });

    test("is given back when the room is forgotten", async () => {
      await using under = await make({ maxRooms: 16 });
      const { engine } = under;
      const { seat } = await sit(engine, newAppId(), "A", { accounts: me });
      expect(await create(under, me)).toBe("share_full");
      await engine.seats.leave(seat);
      await under.advance(contractLimits.relayHoldMs);
      await engine.sweep();
      expect(await create(under, me)).toBe("taken");
    });

    test("is given back when the room gives way", async () => {
      await using under = await make({ maxRooms: 4 });
      const { engine } = under;
      const { seat } = await sit(engine, newAppId(), "A", { accounts: me });
      await engine.seats.leave(seat);
      const { seat: next } = await sit(engine, newAppId(), "A", { accounts: other });
      await sit(engine, newAppId(), "A", { accounts: [client("192.0.2.3")] });
      await engine.seats.leave(next);
      expect(await create(under, me)).toBe("taken");
    });

    test("does not count rooms of minted codes, nor who comes second", async () => {
      await using under = await make({ maxRooms: 16 });
      const { engine } = under;
      for (const text of ["1111", "2222"]) {
        const appId = await mint(engine, text);
        await sit(engine, appId, "A", { accounts: me });
      }
      const { seat } = await sit(engine, newAppId(), "A", { accounts: other });
      await sit(engine, seat.appId, "B", { accounts: me });
      expect(await create(under, me)).toBe("taken");
    });
  });
}

import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { MakeEngine } from "./engine-contract.ts";
import { join, mail, pair, publishCongested, sit } from "./seating.ts";

export function relayContract(make: MakeEngine): void {
  describe("relay", () => {
    test("frames reach the other side in order, both ways", async () => {
      await using under = await make();
      const { relay } = under.engine;
      const { a, b } = await pair(under.engine);
      const frames = Array.from({ length: 100 }, (_, i) => `frame ${i}`);
      for (const frame of frames) {
        expect(await relay.publish(a.seat, frame, "ice")).toBe("delivered");
        expect(await relay.publish(b.seat, frame, "ice")).toBe("delivered");
      }
      const heard = frames.map((frame) => `relayed ${frame}`);
      await b.listener.hears(...heard);
      await a.listener.hears(...heard);
    });

    test("a side hears of a newcomer before that one's first frame, also of the next newcomer", async () => {
      await using under = await make();
      const { relay, seats } = under.engine;
      const appId = newAppId();
      const a = await join(under.engine, appId, "A");
      for (const frame of ["first", "second"]) {
        const b = await join(under.engine, appId, "B");
        expect(await relay.publish(b.seat, frame, "ice")).toBe("delivered");
        await a.listener.hears("peerJoined", `relayed ${frame}`);
        await seats.leave(b.seat);
        await a.listener.hears("peerLeft");
      }
    });

    test("frames keep their order when nobody waits for an answer in between", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      const frames = Array.from({ length: 100 }, (_, i) => `frame ${i}`);
      await Promise.all(frames.map(async (f) => under.engine.relay.publish(a.seat, f, "ice")));
      await b.listener.hears(...frames.map((frame) => `relayed ${frame}`));
    });

    test.each([
      '{"type":"offer","sdp":"v=0\\r\\n"}',
      ' {"type" : "ice" ,\n "candidate": null}\t',
      '{"type":"answer","sdp":"ü 漢字 👩‍🚀 \\u0000"}',
      "not even JSON",
    ])("a frame arrives exactly as it was published: %p", async (frame) => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.engine.relay.publish(a.seat, frame, "ice");
      await b.listener.hears(`relayed ${frame}`);
    });

    test("frames stay in their room, and never come back to their sender", async () => {
      await using under = await make();
      const here = await pair(under.engine);
      const there = await pair(under.engine);
      await under.engine.relay.publish(here.a.seat, "here", "ice");
      await under.engine.relay.publish(there.a.seat, "there", "ice");
      await there.b.listener.hears("relayed there");
      await here.b.listener.hears("relayed here");
      expect(here.a.listener.unheard).toEqual([]);
    });

    test.each([true, false])(
      "nothing is kept for a side not yet seen (offer: %p)",
      async (offer) => {
        await using under = await make();
        const appId = newAppId();
        const a = await join(under.engine, appId, "A");
        expect(await under.engine.relay.publish(a.seat, "early", offer ? "offer" : "ice")).toBe(
          "no_peer",
        );
        const b = await join(under.engine, appId, "B");
        expect(b.taken.held).toBe(0);
        await under.engine.relay.publish(a.seat, "later", "ice");
        await b.listener.hears("relayed later");
      },
    );

    test("whoever has left relays nothing more", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      await under.engine.seats.leave(a.seat);
      expect(await under.engine.relay.publish(a.seat, "late", "ice")).toBe("replaced");
      await b.listener.hears("peerLeft");
      await under.engine.mailboxes.append(b.seat, "B", mail("1"));
      expect(await b.listener.until("mailStored")).toEqual([]);
    });

    test("a sender learns that its peer is congested, though its frames are accepted, and when it no longer is", async () => {
      await using under = await make();
      const { a, b } = await pair(under.engine);
      b.listener.congested = true;
      for (const frame of ["one", "two"]) {
        await publishCongested(under.engine, a, frame);
        await b.listener.hears(`relayed ${frame}`);
      }
      b.listener.congested = false;
      under.engine.relay.drained(b.seat);
      await a.listener.hears("peerDrained");
      expect(await under.engine.relay.publish(a.seat, "three", "ice")).toBe("delivered");
      await b.listener.hears("relayed three");
      expect(a.listener.unheard).toEqual([]);
    });

    test("drained is harmless when nobody is on the other side", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(a.seat);
      under.engine.relay.drained(b.seat);
      const back = await join(under.engine, appId, "A");
      await under.engine.relay.publish(b.seat, "hi", "ice");
      expect(await back.listener.until("relayed hi")).toEqual([]);
    });

    test("starting twice relays nothing twice", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await under.engine.seats.leave(b.seat);
      await under.engine.relay.publish(a.seat, "held", "ice");
      const back = await sit(under.engine, appId, "B");
      await under.engine.relay.start(back.seat, false);
      await under.engine.relay.start(back.seat, false);
      await under.engine.relay.publish(a.seat, "next", "ice");
      await back.listener.hears("relayed held", "relayed next");
    });
  });
}

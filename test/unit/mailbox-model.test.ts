import { expect, test } from "bun:test";
import fc from "fast-check";
import { newAppId } from "../../src/base/ids.ts";
import { Ledger } from "../../src/base/ledger.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { maxWatermark } from "../../src/protocol/frames.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Peer } from "../../src/signaling/peer.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection, fakeClient, noEntrance } from "../support/fake-connection.ts";

const limits = {
  roomTtlMs: 600_000,
  redeemWindowMs: 60_000,
  relayHoldMs: 10_000,
  maxRooms: 10,
  holdMaxFrames: 1,
  holdMaxBytes: 1,
  mailboxMaxMails: 12,
  mailboxMaxBytes: 400_000,
  mailTotalBytes: 1_000_000,
};

/** What a mailbox owes to the connections of its side, in as few words as it can be said. */
class Owed {
  /** Payloads stored, oldest first; the first has seq `before` + 1. */
  stored: string[] = [];
  before = 0;
  /** The highest seq that was sent to any connection. */
  sent = 0;
  /** The highest seq sent on this connection; undefined until mail may be sent on it. */
  cursor: number | undefined;

  connect(plain: boolean): void {
    this.cursor = plain && this.stored.length === 0 ? this.before : undefined;
  }
  hello(upTo: number | undefined): void {
    if (upTo !== undefined && upTo > this.sent) {
      const moved = upTo - this.before;
      this.before = upTo;
      this.sent = upTo;
      if (this.cursor !== undefined) this.cursor += moved;
    } else if (upTo !== undefined) this.acknowledge(upTo);
    this.cursor ??= this.before;
  }
  acknowledge(upTo: number): void {
    const count = Math.max(0, Math.min(upTo - this.before, this.stored.length));
    this.stored.splice(0, count);
    this.before += count;
    this.sent = Math.max(this.sent, this.before);
  }
  /** What is to be sent now, when there is room. */
  due(): readonly string[] {
    if (this.cursor === undefined) return [];
    const from = Math.max(this.cursor, this.before);
    const due = this.stored.slice(from - this.before);
    this.cursor = from + due.length;
    if (due.length > 0) this.sent = Math.max(this.sent, this.cursor);
    return due.map((payload, i) => `${from + i + 1} ${payload}`);
  }
}

/** A watermark as a client may come to say it, relative to what it knows. */
const watermark = fc.oneof(
  fc.constantFrom("processed", "received", "none", "absurd", "invalid"),
  fc.record({ old: fc.nat(20) }),
  fc.record({ future: fc.integer({ min: 1, max: 50 }) }),
);
type Watermark = typeof watermark extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ send: fc.constantFrom(1, 1, 2, 15), big: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ connect: fc.constantFrom("plain", "mailbox") }) },
  { weight: 4, arbitrary: fc.record({ hello: watermark }) },
  { weight: 4, arbitrary: fc.record({ delivered: watermark }) },
  { weight: 2, arbitrary: fc.constantFrom("clog", "unclog", "cut", "deafen") },
  { weight: 1, arbitrary: fc.constantFrom("sender gone", "sender back") },
  { weight: 1, arbitrary: fc.record({ advance: fc.constantFrom(1_000, 10_000, 600_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ deserted: fc.constantFrom(9_999, 10_000, 599_999, 600_000) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One side's room, its sender, and the connections of its receiver, beside what is owed to them. */
class Run {
  private readonly clock = fakeClock();
  private readonly context = {
    engine: memoryEngine({ now: this.clock.now, limits, dropped: () => {} }),
    clock: this.clock,
    tally: new Tally(),
    ...noEntrance,
    heartbeatMs: 1_000_000,
    wsMaxMsgBytes: 1_000_000,
    framesPerSec: 0,
    fairQueue: new FairQueue(this.clock, new Ledger(Number.POSITIVE_INFINITY)),
  };
  private readonly appId = newAppId();
  private owed = new Owed();
  private sender: { peer: Peer; connection: FakeConnection } | undefined;
  private receiver: { peer: Peer; connection: FakeConnection } | undefined;
  private expected: string[] = [];
  /** Sent to the receiver's socket, but its network is gone: it will never process them. */
  private deaf = false;
  /** The highest seq that the receiving client has processed, over all its connections. */
  private processed = 0;
  private accepted = 0;
  private emptyAt: number | undefined;
  /** Every mail that a client has got in its hands. */
  readonly inHand = new Set<string>();
  /** Mail that nobody is owed any more: acknowledged, or forgotten with its room. */
  readonly settled = new Set<string>();
  readonly all: string[] = [];

  take(one: Step): void {
    if (one === "clog" && this.receiver) this.receiver.connection.room = false;
    else if (one === "unclog") this.unclog();
    else if (one === "deafen") this.deaf = true;
    else if (one === "cut") this.cut();
    else if (one === "sender gone") this.senderGone();
    else if (one === "sender back") this.senderBack();
    else if (typeof one === "string") return;
    else if ("send" in one) for (let i = 0; i < one.send; i++) this.send(one.big);
    else if ("connect" in one) this.connect(one.connect === "plain");
    else if ("hello" in one) this.hello(one.hello);
    else if ("delivered" in one) this.delivered(one.delivered);
    else if ("deserted" in one) this.deserted(one.deserted);
    else this.clock.advance(one.advance);
    this.check();
  }

  /** A last connection that hears everything: nothing may be owed after it. */
  end(): void {
    this.cut();
    this.connect(false);
    this.hello({ old: Number.POSITIVE_INFINITY });
    this.check();
    for (const payload of this.all) {
      const there = this.inHand.has(payload) || this.settled.has(payload);
      expect(`${payload} ${there}`).toBe(`${payload} true`);
    }
  }

  private join(side: "A" | "B", v2: boolean, mailboxClient: boolean) {
    const identity = { appId: this.appId, side, sid: "", mailboxClient, v2 };
    const connection = new FakeConnection(identity);
    const peer = new Peer(connection, this.context, fakeClient);
    if (this.sender === undefined && this.receiver === undefined) this.enterRoom();
    peer.take();
    return { peer, connection };
  }

  /** Nobody was there: the room may have been forgotten meanwhile. */
  private enterRoom(): void {
    const keptMs = this.owed.stored.length > 0 ? limits.roomTtlMs : limits.relayHoldMs;
    if (this.emptyAt !== undefined && this.clock.now() >= this.emptyAt + keptMs) {
      for (const payload of this.owed.stored) this.settled.add(payload);
      this.owed = new Owed();
    }
    this.emptyAt = undefined;
  }

  private leaveRoom(): void {
    if (this.sender === undefined && this.receiver === undefined) this.emptyAt = this.clock.now();
  }

  private senderBack(): void {
    this.sender ??= this.join("A", true, true);
  }

  private senderGone(): void {
    if (this.sender === undefined) return;
    this.sender.peer.closed();
    this.sender = undefined;
    this.leaveRoom();
  }

  private send(big: boolean): void {
    this.senderBack();
    const id = `m${++this.accepted}`;
    const payload = JSON.stringify(big ? id.padEnd(50_000, ".") : id);
    this.sender?.peer.received(`{"type":"send","to":"B","id":"${id}","payload":${payload}}`);
    const answer = JSON.parse(this.sender?.connection.sent.at(-1) ?? "{}") as { type: string };
    if (answer.type === "error") return;
    expect(answer).toMatchObject({ type: "stored", id });
    this.owed.stored.push(payload);
    this.all.push(payload);
  }

  private connect(plain: boolean): void {
    this.cut();
    this.receiver = this.join("B", false, !plain);
    this.owed.connect(plain);
    this.expected = [];
    this.deaf = false;
  }

  private cut(): void {
    if (this.receiver === undefined) return;
    this.receiver.peer.closed();
    this.receiver = undefined;
    this.owed.cursor = undefined;
    this.leaveRoom();
  }

  /** Both leave for so many ms. */
  private deserted(ms: number): void {
    this.cut();
    this.senderGone();
    this.clock.advance(ms);
  }

  private unclog(): void {
    if (this.receiver === undefined) return;
    this.receiver.connection.room = true;
    this.receiver.peer.drained(false);
  }

  private hello(kind: Watermark): void {
    if (this.receiver === undefined) return;
    const said = this.watermark(kind);
    this.receiver.peer.received(JSON.stringify({ type: "hello", deliveredUpTo: said }));
    this.acknowledged(() => this.owed.hello(valid(said)));
  }

  private delivered(kind: Watermark): void {
    if (this.receiver === undefined) return;
    const said = this.watermark(kind);
    this.receiver.peer.received(JSON.stringify({ type: "delivered", upTo: said }));
    const upTo = Math.min(typeof said === "number" ? said : 0, this.owed.cursor ?? 0);
    this.acknowledged(() => this.owed.acknowledge(upTo));
  }

  private acknowledged(run: () => void): void {
    const before = this.owed.stored;
    const kept = before.slice();
    run();
    for (const payload of kept) if (!this.owed.stored.includes(payload)) this.settled.add(payload);
  }

  private watermark(kind: Watermark): number | string | undefined {
    if (typeof kind === "object") {
      if ("old" in kind) return Math.max(0, this.processed - kind.old);
      return this.owed.sent + kind.future;
    }
    switch (kind) {
      case "processed":
        return this.processed;
      case "received":
        return this.owed.cursor ?? 0;
      case "absurd":
        return maxWatermark;
      case "invalid":
        return "1";
      case "none":
        return undefined;
      default:
        return kind satisfies never;
    }
  }

  /** The connection has got exactly what was owed to it, in order, each mail once. */
  private check(): void {
    if (this.receiver === undefined) return;
    const { connection } = this.receiver;
    if (connection.room) this.expected.push(...this.owed.due());
    const got = connection.sent
      .map((text) => JSON.parse(text) as { type: string; seq: number; payload: unknown })
      .filter(({ type }) => type === "deliver" || type === "send");
    expect(got.map(({ seq, payload }) => brief(`${seq} ${JSON.stringify(payload)}`))).toEqual(
      this.expected.map(brief),
    );
    // Said once more without the model: no repeats, no leaps back, the order of acceptance.
    const order = got.map(({ payload }) => this.all.indexOf(JSON.stringify(payload)));
    expect(order).toEqual([...new Set(order)].toSorted((a, b) => a - b));
    const seqs = got.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => a - b));
    if (this.deaf) return;
    for (const { payload } of got) this.inHand.add(JSON.stringify(payload));
    this.processed = Math.max(this.processed, seqs.at(-1) ?? 0);
  }
}

/** What is no watermark for a hello is ignored. */
function valid(said: number | string | undefined): number | undefined {
  return typeof said === "number" && said <= maxWatermark ? said : undefined;
}

/** Enough of a long payload to tell it from others. */
function brief(text: string): string {
  return text.slice(0, 40);
}

test("accepted mail is delivered in order, once on a connection, and lost to no cut or watermark", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const run = new Run();
      for (const one of steps) run.take(one);
      run.end();
    }),
    { numRuns: 500 },
  );
});

test("a client that tells the truth gets every mail in its hands, whatever breaks", () => {
  const honest = fc.oneof(
    { weight: 6, arbitrary: fc.record({ send: fc.constantFrom(1, 2), big: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ connect: fc.constant("mailbox" as const) }) },
    { weight: 4, arbitrary: fc.record({ hello: fc.constant("processed" as const) }) },
    { weight: 4, arbitrary: fc.record({ delivered: fc.constant("processed" as const) }) },
    { weight: 3, arbitrary: fc.constantFrom("clog", "unclog", "cut", "deafen") },
    { weight: 1, arbitrary: fc.constantFrom("sender gone", "sender back") },
  );
  fc.assert(
    fc.property(fc.array(honest, { maxLength: 60 }), (steps) => {
      const run = new Run();
      for (const one of steps) run.take(one);
      run.end();
      expect(run.all.filter((payload) => !run.inHand.has(payload))).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

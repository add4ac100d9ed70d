import fc from "fast-check";
import type { Account } from "../../src/base/account.ts";
import { type AppId, newAppId, type Side } from "../../src/base/ids.ts";
import type { Claimable, Engine, EngineLimits, Parked } from "../../src/engine/engine.ts";
import type { RelayType } from "../../src/protocol/frames.ts";
import { RecordingListener, RecordingWaiter } from "./listener.ts";
import { code, noCodeLimits, type Seated } from "./seating.ts";

/**
 * Bounds that a few verbs reach. Every time is a multiple of 10 s, as are those that `wait` lets pass: what
 * is over is so by a multiple of 10 s, and an engine whose time runs by itself agrees with one that stands.
 */
export const tightLimits: EngineLimits = {
  roomTtlMs: 600_000,
  redeemWindowMs: 60_000,
  relayHoldMs: 20_000,
  maxRooms: 8,
  holdMaxFrames: 4,
  holdMaxBytes: 4_000,
  mailboxMaxMails: 6,
  mailboxMaxBytes: 5_000,
  // A quarter of it has to do for all that nodes are told in a run.
  mailTotalBytes: 80_000,
};

const codes = ["1111", "2222", "3333", "44444444"];
const sids = ["", "s", "\u{1f511}", '"\\\u0000', "\ud800", "\udfff"];
const clients: readonly (readonly Account[])[] = [
  [],
  [{ key: "192.0.2.1", kind: "client" }],
  [
    { key: "2001:db8::/64", kind: "client" },
    { key: "2001:db8::/56", kind: "customer" },
    { key: "2001:db8::/48", kind: "site" },
  ],
  [{ key: "shared", kind: "shared" }],
];

const rooms = 3;
const side = fc.constantFrom<Side>("A", "B");
const at = { room: fc.nat(rooms - 1), side };
/** An earlier holder of the seat asks, if there was one. */
const seat = { ...at, isOld: fc.integer({ min: 0, max: 9 }).map((n) => n === 0) };
const client = fc.nat(clients.length - 1);
/** What comes out of JSON as a string: also halves of surrogate pairs. */
const id = fc.oneof(
  fc.constantFrom("a", "b", "", "__proto__", "\ud800", "\udc00", "\\ud800", "\u0000"),
  fc.string({ maxLength: 8, unit: "binary" }),
);
/** Frames and payloads are cut from well-formed text. */
export const shortText = fc.oneof(
  fc.string({ maxLength: 40, unit: "grapheme" }).map((text) => text.toWellFormed()),
  fc.constantFrom("", "\u0000", "1e400", "0.10", "{}", '"ü漢\u{1f511}"', `"${"x".repeat(1_500)}"`),
);
const seq = fc.oneof(
  fc.nat(12),
  fc.constantFrom(-1, 2 ** 53 - 2 ** 32 - 1, 2 ** 53 - 2 ** 32, 2 ** 53 - 1),
);
const relayTypes: readonly RelayType[] = ["offer", "answer", "ice"];

const verb = <N extends string, S>(name: N, shape: { [K in keyof S]: fc.Arbitrary<S[K]> }) =>
  fc.record<S>(shape).map((rest) => ({ do: name, ...rest }));

/** A verb of any kind, with texts of this kind. */
export const verbsWith = (text: fc.Arbitrary<string>) =>
  fc.oneof(
    verb("claim", { code: fc.constantFrom(...codes), appId: fc.uuid(), client }),
    verb("redeem", { code: fc.constantFrom(...codes, "5555"), client }),
    {
      weight: 5,
      arbitrary: verb("sit", {
        ...{ ...at, sid: fc.constantFrom(...sids), client },
        how: fc.constantFrom<"free" | "same_sid" | "dead">("free", "free", "same_sid", "dead"),
      }),
    },
    { weight: 2, arbitrary: verb("leave", seat) },
    verb("park", at),
    verb("unpark", at),
    verb("start", { ...seat, discard: fc.boolean() }),
    {
      weight: 4,
      arbitrary: verb("publish", { ...seat, text, type: fc.constantFrom(...relayTypes) }),
    },
    verb("drained", seat),
    {
      weight: 5,
      arbitrary: verb("send", {
        ...{ ...seat, to: side, text, strict: fc.boolean() },
        id: fc.option(id, { nil: undefined }),
      }),
    },
    { weight: 2, arbitrary: verb("read", { ...seat, after: seq, maxBytes: fc.nat(3_000) }) },
    { weight: 2, arbitrary: verb("ack", { ...seat, upTo: seq }) },
    { weight: 2, arbitrary: verb("hello", { ...seat, upTo: seq }) },
    verb("establish", seat),
    verb("ice", { ...at, mustBeRedeemed: fc.boolean() }),
    {
      weight: 2,
      arbitrary: verb("wait", {
        ms: fc.constantFrom(10_000, 20_000, 60_000, 590_000, 600_000),
      }),
    },
  );
export type RandomVerb = ReturnType<typeof verbsWith> extends fc.Arbitrary<infer T> ? T : never;

/** An engine that is asked random verbs, and who sits in it. Tokens and moments stay out of its answers. */
export class Life<E extends Engine = Engine> {
  readonly heard: (RecordingListener | RecordingWaiter)[] = [];
  private readonly seats = new Map<string, Seated["seat"][]>();
  private readonly parked = new Map<string, Parked>();

  constructor(
    readonly engine: E,
    private readonly advance: (ms: number) => void,
    /** The same for all engines that are compared. */
    readonly appIds: readonly AppId[] = Array.from({ length: rooms }, newAppId),
  ) {}

  /** What the engine answers; undefined for what is nobody's to ask. */
  async take(step: RandomVerb): Promise<unknown> {
    const { engine } = this;
    switch (step.do) {
      case "wait":
        return this.advance(step.ms);
      case "redeem":
        return briefly(await engine.codes.guess(code(step.code), accountsOf(step), 3));
      case "claim":
        return briefly(await this.claim(step.code, step.appId as AppId, accountsOf(step)));
      case "sit":
        return this.sit(step);
      case "ice":
        return engine.rooms.allowsIce(this.appIdOf(step), step.side, step.mustBeRedeemed);
      case "park":
        return this.park(step);
      case "unpark":
        return this.parked.get(keyOf(step))?.unpark();
      default: {
        const all = this.seats.get(keyOf(step)) ?? [];
        const holder = all.at(step.isOld ? -2 : -1);
        return holder && this.ask(holder, step);
      }
    }
  }

  /** Two of the rooms are minted, as ever before anybody comes; the third is not. */
  async mint(): Promise<void> {
    await this.claim("1111", this.appIds[0] as AppId, []);
    await this.claim("2222", this.appIds[1] as AppId, []);
  }

  async leaveAll(): Promise<void> {
    for (const all of this.seats.values()) {
      for (const holder of all) await this.engine.seats.leave(holder);
    }
    this.seats.clear();
  }

  /** What is held, once what is over was swept. */
  async sizes() {
    await this.engine.sweep();
    // What is under way between nodes is a shared store's only.
    return { ...this.engine.sizes(), streamBytes: 0 };
  }

  private claim(text: string, appId: AppId, accounts: readonly Account[]) {
    const entry = { appId, ttlMs: 300_000, restMs: 60_000, accounts };
    const allowances = [{ upToRecent: Number.MAX_SAFE_INTEGER, misses: 3 }];
    const maxHeld = { client: 2, customer: 2, site: 3, shared: 3 };
    return this.engine.codes.claim([code(text)], entry, { ...noCodeLimits, maxHeld, allowances });
  }

  private async sit(step: RandomVerb & { do: "sit" }) {
    const { side, sid, how } = step;
    const all = this.seats.get(keyOf(step)) ?? [];
    const listener = new RecordingListener();
    this.heard.push(listener);
    const newcomer = {
      ...{ appId: this.appIdOf(step), side, sid, listener },
      accounts: accountsOf(step),
    };
    const claim: Claimable = how === "dead" ? { dead: all.at(-1)?.token ?? 0 } : how;
    const answer = await this.engine.seats.take(newcomer, claim);
    if (answer.outcome !== "taken") return { ...answer, token: undefined };
    this.seats.set(keyOf(step), [...all, answer.seat]);
    return { ...answer, seat: undefined };
  }

  private async park(step: { room: number; side: Side }) {
    const waiter = new RecordingWaiter();
    this.heard.push(waiter);
    const parked = await this.engine.seats.park(this.appIdOf(step), step.side, waiter);
    if (parked) this.parked.set(keyOf(step), parked);
    return parked?.times;
  }

  private async ask(
    seat: Seated["seat"],
    step: Exclude<
      RandomVerb,
      { do: "wait" | "redeem" | "claim" | "sit" | "ice" | "park" | "unpark" }
    >,
  ): Promise<unknown> {
    const { seats, relay, mailboxes, rooms: inRooms } = this.engine;
    switch (step.do) {
      case "leave":
        return seats.leave(seat);
      case "start":
        return void (await relay.start(seat, step.discard));
      case "publish":
        return relay.publish(seat, step.text, step.type);
      case "drained":
        return relay.drained(seat);
      case "send":
        return mailboxes.append(seat, step.to, { ...step, payload: step.text });
      case "read":
        return mailboxes.read(seat, step.after, step.maxBytes);
      case "ack":
        return void (await mailboxes.ack(seat, step.upTo));
      case "hello":
        return mailboxes.hello(seat, step.upTo);
      case "establish":
        return typeof (await inRooms.establish(seat));
      default:
        return step satisfies never;
    }
  }

  private appIdOf({ room }: { room: number }): AppId {
    return this.appIds[room] as AppId;
  }
}

const keyOf = ({ room, side: of }: { room: number; side: Side }) => `${room}${of}`;
const accountsOf = (step: { client: number }) => clients[step.client] ?? [];

/** Without moments: each engine has a time of its own. */
function briefly(answer: object): unknown {
  return JSON.parse(
    JSON.stringify(answer, (key, value) =>
      key === "retryAfterMs" || key === "expiresAt" ? typeof value : value,
    ),
  );
}

import { expect, test } from "bun:test";
import type { Client } from "../../src/admission/clients.ts";
import { fixedWindow } from "../../src/admission/rate-limit.ts";
import { newAppId } from "../../src/base/ids.ts";
import type { IceGrant } from "../../src/engine/engine.ts";
import { type IceOptions, iceSource } from "../../src/rendezvous/ice.ts";
import { someClient } from "../support/some-client.ts";

const stun = { urls: "stun:stun.example.com" };
const fixedTurn = { urls: ["turn:turn.example.com"], username: "u", credential: "c" };
const appId = newAppId();

/** A source over rooms that always answer the same. */
function source(grant: IceGrant, options: Partial<IceOptions> = {}) {
  const time = { now: 1_700_000_000_000 };
  const terms: boolean[] = [];
  const limiter = { perWindow: 30, windowMs: 3_600_000, monotonicMs: () => time.now, maxKeys: 100 };
  const ice = iceSource({
    rooms: {
      allowsIce(_appId, _side, asked) {
        terms.push(asked);
        return grant;
      },
    },
    now: () => time.now,
    iceServers: [stun],
    turnUrls: ["turn:127.0.0.1:3478"],
    turnSecrets: ["north", "old"],
    turnTtlMs: 600_000,
    turnRooms: "redeemed",
    limiter: fixedWindow(limiter),
    sideLimiter: fixedWindow({ ...limiter, perWindow: 4, maxKeys: 1_000 }),
    ...options,
  });
  return { ...ice, time, terms };
}

test("a grant has the operator's servers and TURN with credentials of its own", async () => {
  const { ask } = source("granted");
  expect(await ask(appId, "A", someClient("a"))).toEqual({
    outcome: "granted",
    iceServers: [
      stun,
      {
        urls: ["turn:127.0.0.1:3478"],
        username: expect.stringMatching(/^1700000600:/),
        credential: expect.any(String),
      },
    ],
    expiresAt: 1_700_000_600_000,
  });
});

test("the first secret signs", async () => {
  const one = await source("granted").offer(appId, "A");
  const same = await source("granted", { turnSecrets: ["north"] }).offer(appId, "A");
  const other = await source("granted", { turnSecrets: ["old", "north"] }).offer(appId, "A");
  expect(same).toEqual(one);
  expect(other).not.toEqual(one);
});

test.each(["no_seat", "not_redeemed"] as const)(
  "who gets no grant (%s) is offered what needs no credential",
  async (outcome) => {
    const { ask, offer } = source(outcome, { iceServers: [stun, fixedTurn] });
    expect(await ask(appId, "A")).toEqual({ outcome });
    expect(await offer(appId, "A")).toEqual([stun]);
  },
);

test("without servers that need a credential nothing is counted and nobody refused", async () => {
  const { ask, terms } = source("no_seat", { turnUrls: [], turnSecrets: [] });
  expect(await ask(appId, "A")).toMatchObject({ outcome: "granted", iceServers: [stun] });
  expect(terms).toEqual([]);
});

test("a listed server with a credential is guarded like TURN", async () => {
  const none = { turnUrls: [], turnSecrets: [], iceServers: [stun, fixedTurn] };
  expect(await source("not_redeemed", none).offer(appId, "A")).toEqual([stun]);
  const granted = await source("granted", none).ask(appId, "A");
  expect(granted).toMatchObject({ iceServers: [stun, fixedTurn], expiresAt: undefined });
});

test("TURN_ROOMS decides which rooms", async () => {
  const redeemed = source("granted");
  await redeemed.ask(appId, "A");
  expect(redeemed.terms).toEqual([true]);
  const any = source("granted", { turnRooms: "any" });
  await any.ask(appId, "A");
  expect(any.terms).toEqual([false]);
});

test("each client gets 4 for a side of a room, whatever others have had for it", async () => {
  const { ask } = source("granted");
  for (const name of ["a", "b"]) {
    for (let i = 0; i < 4; i++) {
      expect((await ask(appId, "A", someClient(name))).outcome).toBe("granted");
    }
    expect((await ask(appId, "A", someClient(name))).outcome).toBe("spent");
    expect((await ask(appId, "B", someClient(name))).outcome).toBe("granted");
  }
});

test("a client gets 30 in an hour, then has to wait for the next", async () => {
  const { ask, time } = source("granted");
  const outcomes = async (count: number, client: Client) => {
    const answers = [];
    for (let i = 0; i < count; i++) answers.push((await ask(newAppId(), "A", client)).outcome);
    return answers;
  };
  expect(new Set(await outcomes(30, someClient("a")))).toEqual(new Set(["granted"]));
  time.now += 600_000;
  const refused = await ask(newAppId(), "A", someClient("a"));
  expect(refused).toEqual({ outcome: "rate_limited", retryAfterMs: 3_000_000 });
  expect(await outcomes(1, someClient("b"))).toEqual(["granted"]);
  time.now += 3_000_000;
  expect(await outcomes(1, someClient("a"))).toEqual(["granted"]);
});

test("everybody behind a proxy that is not known gets as much as a site: 16 times that", async () => {
  const { ask } = source("granted");
  for (let i = 0; i < 480; i++) {
    expect((await ask(newAppId(), "A", someClient("p", true))).outcome).toBe("granted");
  }
  expect((await ask(newAppId(), "A", someClient("p", true))).outcome).toBe("rate_limited");
});

test.each(["no_seat", "not_redeemed"] as const)(
  "an ask that the room refuses (%s) spends nothing of the client's limit",
  async (outcome) => {
    const answers = [
      ...new Array<IceGrant>(100).fill(outcome),
      ...new Array<IceGrant>(30).fill("granted"),
    ];
    const { ask } = source("granted", { rooms: { allowsIce: () => answers.shift() ?? "granted" } });
    for (let i = 0; i < 100; i++) {
      expect((await ask(appId, "A", someClient("a"))).outcome).toBe(outcome);
    }
    for (let i = 0; i < 30; i++) {
      expect((await ask(newAppId(), "A", someClient("a"))).outcome).toBe("granted");
    }
    expect((await ask(newAppId(), "A", someClient("a"))).outcome).toBe("rate_limited");
  },
);

test("an ask that the engine does not answer spends nothing either", async () => {
  let down = true;
  const allowsIce = (): Promise<IceGrant> =>
    down ? Promise.reject(new Error("down")) : Promise.resolve("granted");
  const { ask, offer } = source("granted", { rooms: { allowsIce } });
  for (let i = 0; i < 100; i++) await offer(appId, "A", someClient("a"));
  down = false;
  expect((await ask(appId, "A", someClient("a"))).outcome).toBe("granted");
});

test("an engine that cannot be reached costs a welcome nothing but TURN", async () => {
  const rooms = { allowsIce: () => Promise.reject(new Error("down")) };
  expect(await source("granted", { rooms }).offer(appId, "A")).toEqual([stun]);
});

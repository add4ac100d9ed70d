import { expect, test } from "bun:test";
import { fixedWindow } from "../../src/admission/rate-limit.ts";
import { newAppId } from "../../src/base/ids.ts";
import type { IceGrant } from "../../src/engine/engine.ts";
import { type IceOptions, iceSource } from "../../src/rendezvous/ice.ts";
import { someClient } from "../support/some-client.ts";

// What a room may have, and how often, is asked over HTTP in test/e2e/ice.test.ts.

const stun = { urls: "stun:stun.example.com" };
const fixedTurn = { urls: ["turn:turn.example.com"], username: "u", credential: "c" };
const appId = newAppId();
const client = someClient("192.0.2.1");

/** A source over rooms that answer so. */
function source(allowsIce: () => IceGrant | Promise<IceGrant>, options: Partial<IceOptions> = {}) {
  const limiter = { perWindow: 30, monotonicMs: () => 0, maxKeys: 1_000 };
  return iceSource({
    rooms: { allowsIce },
    now: () => 1_700_000_000_000,
    iceServers: [stun],
    turnUrls: ["turn:127.0.0.1:3478"],
    turnSecrets: ["north", "old"],
    turnTtlMs: 600_000,
    turnRooms: "redeemed",
    limiter: fixedWindow(limiter),
    sideLimiter: fixedWindow({ ...limiter, perWindow: 4 }),
    ...options,
  });
}
const granted = () => "granted" as const;

test("a listed server with a credential is guarded like TURN", async () => {
  const listed = { turnUrls: [], turnSecrets: [], iceServers: [stun, fixedTurn] };
  expect(await source(() => "not_redeemed", listed).offer(appId, "A", client)).toEqual([stun]);
  const grant = await source(granted, listed).ask(appId, "A", client);
  expect(grant).toMatchObject({ iceServers: [stun, fixedTurn], expiresAt: undefined });
});

test("an ask that the room refuses, or the engine does not answer, spends nothing", async () => {
  const refusals: (() => IceGrant | Promise<IceGrant>)[] = [
    () => "no_seat",
    () => "not_redeemed",
    () => Promise.reject(new Error("down")),
  ];
  for (const refuse of refusals) {
    let answer: () => IceGrant | Promise<IceGrant> = refuse;
    const { ask, offer } = source(() => answer());
    for (let i = 0; i < 40; i++) expect(await offer(appId, "A", someClient("a"))).toEqual([stun]);
    answer = granted;
    for (let i = 0; i < 30; i++) {
      expect((await ask(newAppId(), "A", someClient("a"))).outcome).toBe("granted");
    }
    expect((await ask(newAppId(), "A", someClient("a"))).outcome).toBe("rate_limited");
  }
});

import { test as anyTest, expect } from "bun:test";
import { TestClient } from "../support/client.ts";
import { Program } from "../support/program.ts";
import { Sentinels, sentinelMissing } from "../support/sentinels.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { Talker } from "../support/talker.ts";
import { until } from "../support/waiting.ts";

const test = anyTest.skipIf(sentinelMissing);

const settings = { REDIS_TIMEOUT: "1s", HEARTBEAT: "2s", DRAIN: "0" };

/** Two nodes, and a pair with a side on each that sends mail both ways. */
async function talkingPair(sentinels: Sentinels) {
  const parts = new AsyncDisposableStack();
  const one = parts.use(await testServer({ ...settings, ...sentinels.env }));
  const two = parts.use(await testServer({ ...settings, ...sentinels.env }));
  const appId = crypto.randomUUID();
  const patience = { minRetryMs: 50, maxRetryMs: 1_000, answerMs: 3_000, seatMs: 20_000 };
  const side = { url: "http://anywhere", appId, ...patience, everyMs: 5 };
  const a = parts.use(new Talker({ ...side, side: "A", WebSocket: socketTo(one) }));
  const b = parts.use(new Talker({ ...side, side: "B", WebSocket: socketTo(two) }));
  for (const party of [a, b]) party.talk();
  await until("mail both ways", () => a.heard.length > 20 && b.heard.length > 20);
  return { one, two, a, b, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

function socketTo(server: TestServer): new (url: string, protocol: string) => WebSocket {
  return class extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url.replace("ws://anywhere", server.ws), protocol);
    }
  };
}

/** A pair that meets now, through mint, redeem and a frame each way, on two nodes. */
async function meets(one: TestServer, two: TestServer): Promise<void> {
  for (const node of [one, two]) {
    await until("readiness", async () => (await fetch(`${node.http}/readyz`)).ok);
  }
  const { code, appID } = await one.mint();
  expect((await two.redeem(code)).status).toBe(200);
  await using a = await TestClient.open(one.ws, appID, "A", { v2: true });
  await using b = await TestClient.open(two.ws, appID, "B", { v2: true });
  for (const peer of [a, b]) await peer.nextOf("peer_joined");
  a.send({ type: "offer", sdp: "here" });
  expect(await b.nextOf("offer")).toEqual({ type: "offer", sdp: "here" });
}

test.each([
  ["is killed: pairs meet at the new one, and no mail that was answered is lost", "SIGKILL"],
  ["hangs: pairs meet at the new one, and the old does nothing late", "SIGSTOP"],
] as const)("a primary that %s", async (_, signal) => {
  await using sentinels = await Sentinels.start();
  await using pair = await talkingPair(sentinels);
  const { one, two, a, b } = pair;
  const [primary] = sentinels.redis;
  if (signal === "SIGKILL") await primary.kill();
  else primary.signal(signal);
  await until("the failover", () => sentinels.hasFailedOver());
  await meets(one, two);
  if (signal === "SIGSTOP") {
    primary.signal("SIGCONT");
    await primary.ask("PING");
  }
  const [fromA, fromB] = [a.stored, b.stored];
  await until("mail both ways", () => a.stored > fromA + 20 && b.stored > fromB + 20);
  for (const party of [a, b]) await party.fallSilent();
  await until("all mail", () => b.heard.length >= a.stored && a.heard.length >= b.stored);
  expect([b.faultIn(a), a.faultIn(b)]).toEqual([undefined, undefined]);
});

test("a primary cut off from its sentinels: the nodes that still reach it leave it", async () => {
  await using sentinels = await Sentinels.start();
  await using one = await testServer({ ...settings, ...sentinels.env });
  await using two = await testServer({ ...settings, ...sentinels.env });
  await meets(one, two);
  sentinels.isolate(sentinels.redis[0]);
  await until("the failover", () => sentinels.hasFailedOver());
  const left = (node: TestServer) =>
    node.logLines.some((line) => line.includes("no longer primary"));
  await until("the nodes to leave", () => left(one) && left(two));
  await meets(one, two);
  const { code } = await one.mint();
  expect(await sentinels.redis[1].ask("EXISTS", `nt:2:code:${code}`)).toBe(1);
  expect(await sentinels.redis[0].ask("EXISTS", `nt:2:code:${code}`)).toBe(0);
});

test("a redeem waits for a replica, and not for one that is gone", async () => {
  await using sentinels = await Sentinels.start();
  const [primary, replica] = sentinels.redis;
  await using server = await testServer({ ...settings, ...sentinels.env });
  const redeems = async () => {
    await primary.ask("CONFIG", "RESETSTAT");
    expect((await server.redeem((await server.mint()).code)).status).toBe(200);
    expect((await server.redeem("0000")).status).toBe(410);
    return (await primary.calls()).get("wait");
  };
  expect(await redeems()).toBe(1);
  await replica.kill();
  expect(await redeems()).toBe(1);
  // It knows by now.
  expect(await redeems()).toBeUndefined();
});

test("sentinels with a password; one that is down, and two", async () => {
  await using sentinels = await Sentinels.start({ password: "s3cret" });
  const [up = "", , other = ""] = sentinels.hosts;
  const env = { ...settings, ...sentinels.env };
  await using server = await testServer({ ...env, REDIS_SENTINELS: `127.0.0.1:1,${up},${other}` });
  await server.mint();
  await using lonely = await testServer({
    ...env,
    REDIS_SENTINELS: `127.0.0.1:1,${up},127.0.0.1:2`,
  });
  await lonely.mint();

  const faults = [
    [{ REDIS_SENTINEL_PASSWORD: "wr0ng" }, "user and password in REDIS_SENTINEL_PASSWORD"],
    [{ REDIS_SENTINEL_NAME: "other" }, "knows no primary named other. Correct REDIS_SENTINEL_NAME"],
    [{ REDIS_SENTINELS: "127.0.0.1:1" }, "cannot be reached (ECONNREFUSED). Start it, or correct"],
    [{ REDIS_URL: "" }, "REDIS_URL"],
  ] as const;
  for (const [wrong, said] of faults) {
    await using program = await Program.start({ ...env, ...wrong });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain(said);
    expect(program.stderr).not.toMatch(/s3cret|wr0ng/);
  }
});

test("sentinels with an ACL user; without it the message does not blame a password alone", async () => {
  await using sentinels = await Sentinels.start({ user: "watcher", password: "s3cret" });
  const env = { ...settings, ...sentinels.env };
  await using server = await testServer(env);
  await server.mint();
  for (const REDIS_SENTINEL_USER of ["", "stranger"]) {
    await using program = await Program.start({ ...env, REDIS_SENTINEL_USER });
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain("in REDIS_SENTINEL_USER, if it is not the default user's");
    expect(program.stderr).not.toContain("s3cret");
  }
});

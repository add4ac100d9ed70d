import { describe, expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { type Deployment, deployments } from "../support/deployments.ts";
import { RawClient } from "../support/raw-client.ts";
import { until } from "../support/waiting.ts";

const roomFull = { type: "room_full" };

/** A on the one node and B on the other, both of whom know that the room is full. */
async function pair(deployment: Deployment, options: { readonly sid?: string } = {}) {
  const appId = crypto.randomUUID();
  const a = await TestClient.open(deployment.a.ws, appId, "A", { v2: true, ...options });
  const b = await TestClient.open(deployment.b.ws, appId, "B", { v2: true });
  for (const peer of [a, b]) await peer.nextOf("peer_joined");
  return {
    appId,
    a,
    b,
    async [Symbol.asyncDispose]() {
      await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
    },
  };
}

describe.each(deployments)("two peers on %s", (_, open) => {
  test("a code made at one side is redeemed at the other, once, and brings them together", async () => {
    await using deployment = await open();
    const { code, appID, expiresAt } = await deployment.a.mint();
    const redeemed = await deployment.b.redeem(code);
    expect(await redeemed.json()).toEqual({ appID, expiresAt });
    for (const server of [deployment.a, deployment.b])
      expect((await server.redeem(code)).status).toBe(410);
    await using a = await TestClient.open(deployment.a.ws, appID, "A");
    await using b = await TestClient.open(deployment.b.ws, appID, "B");
    for (const peer of [a, b]) expect(await peer.next()).toEqual(roomFull);
  });

  test("of 20 who redeem one code at both sides one gets the room", async () => {
    await using deployment = await open({ REDEEM_FAILURES: "0" });
    const { code } = await deployment.a.mint();
    const tries = Array.from({ length: 20 }, (_, i) =>
      (i % 2 ? deployment.a : deployment.b).redeem(code),
    );
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, ...Array<number>(19).fill(410)]);
  });

  test("misses count wherever they are made", async () => {
    await using deployment = await open({ REDEEM_FAILURES: "4" });
    for (const server of [deployment.a, deployment.b, deployment.a, deployment.b]) {
      expect((await server.redeem("99999999")).status).toBe(410);
    }
    for (const server of [deployment.a, deployment.b]) {
      expect((await server.redeem("99999999")).status).toBe(429);
    }
  });

  test("500 frames each way arrive byte for byte, in order and once", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    const frames = Array.from({ length: 500 }, (_, n) => `{"type":"ice", "n":${n}, "é":"${n}"}`);
    for (const frame of frames) {
      room.a.send(frame);
      room.b.send(frame);
    }
    expect(await room.b.nextTexts(500)).toEqual(frames);
    expect(await room.a.nextTexts(500)).toEqual(frames);
    expect(await room.a.settled()).toEqual([]);
  });

  test("who leaves and comes back is announced each time", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    await room.b.close();
    expect(await room.a.next()).toEqual({ type: "peer_left" });
    await using back = await TestClient.open(deployment.b.ws, room.appId, "B");
    expect(await back.next()).toEqual(roomFull);
    expect(await room.a.next()).toEqual(roomFull);
    expect(await room.a.next()).toEqual({ type: "peer_joined" });
  });

  test("a client takes its own seat over from the other node, and both hear room_full", async () => {
    await using deployment = await open();
    await using room = await pair(deployment, { sid: "mine" });
    await using again = await TestClient.open(deployment.b.ws, room.appId, "A", { sid: "mine" });
    again.send({ type: "hello" });
    expect(await room.a.closed).toEqual({ code: 1000, reason: "replaced" });
    expect(await again.next()).toEqual(roomFull);
    await room.b.nextOf("room_full");
    room.b.send({ type: "offer", sdp: "for the new one" });
    expect(await again.next()).toEqual({ type: "offer", sdp: "for the new one" });
  });

  test("a newcomer waits beside a living occupant and gets the seat when that leaves", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    await using newcomer = await TestClient.open(deployment.b.ws, room.appId, "A");
    newcomer.send({ type: "offer", sdp: "patient" });
    expect(await newcomer.settled()).toEqual([]);
    await room.a.close();
    expect(await newcomer.next()).toEqual(roomFull);
    expect(await room.b.nextOf("offer")).toEqual({ type: "offer", sdp: "patient" });
  });

  test("a newcomer beside a living occupant is sent away after a while", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    await using newcomer = await TestClient.open(deployment.b.ws, room.appId, "A");
    expect(await newcomer.closed).toEqual({ code: 1008, reason: "side A busy" });
    room.a.send({ type: "ice", still: "here" });
    expect(await room.b.next()).toEqual({ type: "ice", still: "here" });
  });

  test("a newcomer gets the seat of an occupant that says nothing any more", async () => {
    await using deployment = await open();
    const appId = crypto.randomUUID();
    await using silent = await RawClient.open(deployment.a.ws, { appId, side: "A" });
    silent.fallSilent();
    await using b = await TestClient.open(deployment.b.ws, appId, "B");
    expect(await b.next()).toEqual(roomFull);
    await using newcomer = await TestClient.open(deployment.b.ws, appId, "A");
    expect(await newcomer.next()).toEqual(roomFull);
    expect(await b.next()).toEqual(roomFull);
    newcomer.send({ type: "offer" });
    expect(await b.next()).toEqual({ type: "offer" });
  });

  test("frames for a side between two sockets wait for its return, wherever that is", async () => {
    await using deployment = await open();
    await using room = await pair(deployment, { sid: "s" });
    await room.a.close();
    await room.b.nextOf("peer_left");
    for (let n = 0; n < 50; n++) room.b.send({ type: "ice", n });
    await room.b.settled();
    await using back = await TestClient.open(deployment.b.ws, room.appId, "A", { sid: "s" });
    expect(await back.next()).toEqual(roomFull);
    for (let n = 0; n < 50; n++) expect(await back.next()).toEqual({ type: "ice", n });
  });

  test("mail is numbered, kept while its reader is away, and read at either node", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    await room.b.close();
    for (let n = 1; n <= 200; n++) {
      room.a.send({ type: "send", to: "B", id: `m${n}`, payload: `mail ${n}` });
    }
    for (let n = 1; n <= 200; n++) {
      expect(await room.a.nextOf("stored")).toEqual({ type: "stored", id: `m${n}`, seq: n });
    }
    for (const server of [deployment.a, deployment.b]) {
      await using reader = await TestClient.open(server.ws, room.appId, "B", { sid: "reader" });
      reader.send({ type: "hello", deliveredUpTo: 0 });
      for (let seq = 1; seq <= 200; seq++) {
        expect(await reader.nextOf("deliver")).toMatchObject({ seq, payload: `mail ${seq}` });
      }
      await reader.close();
    }
  });

  test("a pair is established once, wherever that is told", async () => {
    await using deployment = await open();
    await using room = await pair(deployment);
    for (const peer of [room.a, room.b]) {
      peer.send({ type: "telemetry", event: "ice-connected", mode: "host" });
    }
    const series = 'nt_session_established_total{mode="host"}';
    const total = async () => {
      const values = await Promise.all(
        [...new Set([deployment.a, deployment.b])].map((s) => s.metric(series)),
      );
      return values.reduce((sum, value) => sum + value, 0);
    };
    for (const peer of [room.a, room.b]) await peer.settled();
    await until("a session", async () => (await total()) > 0);
    expect(await total()).toBe(1);
  });

  test("a peer that reads slowly makes its sender wait, and nothing is lost", async () => {
    await using deployment = await open({ WS_BUFFER: "16384", REDEEM_FAILURES: "0" });
    const appId = crypto.randomUUID();
    await using a = await TestClient.open(deployment.a.ws, appId, "A");
    await using b = await RawClient.open(deployment.b.ws, { appId, side: "B" });
    await a.nextOf("room_full");
    expect(await b.nextText()).toContain("room_full");
    b.pause();
    const long = "x".repeat(60_000);
    const frames = 600;
    for (let n = 0; n < frames; n++) a.send(`{"type":"ice","n":${n},"long":"${long}"}`);
    // A sender that nobody holds back gets rid of all its frames within a second.
    let unsent = a.socket.bufferedAmount;
    await until("the sender to be held back, or to have sent all", async () => {
      const before = unsent;
      for (let turn = 0; turn < 20; turn++) await deployment.b.redeem("99999999");
      unsent = a.socket.bufferedAmount;
      return unsent === before;
    });
    expect(unsent).toBeGreaterThan(0);
    await deployment.a.metricBecomes("nt_ws_paused", (value) => value === 1);
    b.resume();
    for (let n = 0; n < frames; n++) {
      expect((await b.nextText()).slice(0, 30)).toStartWith(`{"type":"ice","n":${n},`);
    }
    await deployment.a.metricBecomes("nt_ws_paused", (value) => value === 0);
  });
});

import { describe, expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { startProxy } from "../support/proxy.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { type TestServer, testServer } from "../support/server.ts";

const room = () => crypto.randomUUID();
const hello = { type: "hello", deliveredUpTo: 0 };
const ice = (candidate: number) => ({ type: "ice", candidate: String(candidate) });
/** Pings that a moved clock makes due are not what these tests are about. */
const calm = { HEARTBEAT: "10m" };

/** Both have heard what the server had to say, and the server what they answered to its probes. */
async function quiet(...clients: TestClient[]): Promise<void> {
  for (const client of [...clients, ...clients]) await client.settled();
}

describe("a client that comes back with its sid", () => {
  test("takes its seat at its first frame, not before", async () => {
    await using server = await testServer();
    const appId = room();
    await using old = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(old, peer);

    await using back = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    await quiet(old, peer, back);
    expect(old.isClosed).toBe(false);
    back.send(hello);

    expect(await old.closed).toEqual({ code: 1000, reason: "replaced" });
    expect(await back.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "room_full" });
    peer.send(ice(1));
    expect(await back.next()).toEqual(ice(1));
  });

  test("takes its seat from a socket that died unseen", async () => {
    await using server = await testServer();
    await using proxy = startProxy(server.port);
    const appId = room();
    await using _old = await TestClient.open(proxy.ws, appId, "A", { sid: "s" });
    await using peer = await TestClient.open(server.ws, appId, "B", { v2: true });
    await quiet(peer);
    proxy.latest().cut("silent");

    await using back = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    back.send(hello);
    expect(await back.next()).toEqual({ type: "room_full" });
    expect((await peer.next()).type).toBe("peer_left");
    expect((await peer.next()).type).toBe("room_full");
    expect((await peer.next()).type).toBe("peer_joined");
  });

  test("only has to wait for the probe when it changes networks twice in a row", async () => {
    await using server = await testServer();
    await using proxy = startProxy(server.port);
    const appId = room();
    await using first = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    await using second = await TestClient.open(proxy.ws, appId, "A", { sid: "s" });
    second.send(hello);
    await first.closed;
    proxy.latest().cut("silent");

    await using third = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    third.send(hello);
    await using peer = await TestClient.open(server.ws, appId, "B");
    expect(await third.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "room_full" });
    expect(await server.metric('nt_takeovers_total{reason="dead"}')).toBe(1);
  });

  test("keeps its seat whatever its old socket still says or does", async () => {
    await using server = await testServer();
    await using proxy = startProxy(server.port);
    const appId = room();
    await using old = await TestClient.open(proxy.ws, appId, "A", { sid: "s" });
    await using peer = await TestClient.open(server.ws, appId, "B", { v2: true });
    await quiet(old, peer);
    const network = proxy.latest();
    network.stall("toServer");
    old.send(ice(1));
    old.send({ type: "send", to: "B", payload: "late" });
    old.socket.close(1000);

    await using back = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    back.send(hello);
    expect((await back.next()).type).toBe("room_full");
    network.resume("toServer");
    await old.closed;

    peer.send(hello);
    back.send(ice(2));
    const heard = [await peer.next(), await peer.next(), await peer.next(), await peer.next()];
    expect(heard.map(({ type }) => type)).toEqual(["peer_left", "room_full", "peer_joined", "ice"]);
    expect(heard[3]).toEqual(ice(2));
    expect(await peer.settled()).toEqual([]);
    peer.send(ice(3));
    expect(await back.next()).toEqual(ice(3));
  });

  test("does not take it when it is a zombie that never sends a frame", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(occupant, peer);

    await using zombie = await TestClient.open(server.ws, appId, "A", { sid: "s" });
    await quiet(occupant, zombie);
    clock.advance(5_000);

    expect(await zombie.closed).toEqual({ code: 1008, reason: "side A busy" });
    peer.send(ice(1));
    expect(await occupant.next()).toEqual(ice(1));
  });
});

describe("two live holders of one sid", () => {
  test("take the seat from each other ever more rarely", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = room();
    const takeovers = () => server.metric('nt_takeovers_total{reason="same_sid"}');
    /** One holds the seat, so the other waits, or was sent away. */
    const oneIsGone = async () => (await server.metric("nt_ws_parked")) === 0;

    await using holders = new AsyncDisposableStack();
    const connect = async () => {
      const holder = await TestClient.open(server.ws, appId, "A", { sid: "s" });
      holders.use(holder);
      holder.send(hello);
      await holder.settled();
      return holder;
    };
    let both = [await connect(), await connect()] as const;
    let reconnects = 0;
    /** Whoever was closed is back at once, until both are connected. */
    const comeBack = async () => {
      while (await oneIsGone()) {
        reconnects++;
        const [first, second] = both;
        const gone = await Promise.race([
          first.closed.then(() => first),
          second.closed.then(() => second),
        ]);
        both = [gone === first ? second : first, await connect()];
      }
      await quiet(...both);
    };
    const minutesPass = async (minutes: number) => {
      for (let seconds = 0; seconds < minutes * 60; seconds += 10) {
        clock.advance(10_000);
        await comeBack();
      }
    };

    await comeBack();
    await minutesPass(10);
    const atFirst = await takeovers();
    expect(atFirst).toBeLessThan(10);
    await minutesPass(10);
    expect((await takeovers()) - atFirst).toBeLessThan(3);
    expect(reconnects).toBeLessThan(20 * 20);
  });
});

describe("a newcomer to a living occupant's seat", () => {
  test("is sent away after its patience, longer each time, and the occupant stays", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(occupant, peer);

    for (const patienceMs of [5_000, 10_000, 15_000, 15_000]) {
      await using newcomer = await TestClient.open(server.ws, appId, "A");
      await quiet(occupant, newcomer);
      clock.advance(patienceMs - 1);
      await quiet(newcomer);
      expect(newcomer.isClosed).toBe(false);
      clock.advance(1);
      expect(await newcomer.closed).toEqual({ code: 1008, reason: "side A busy" });
    }
    peer.send(ice(1));
    expect(await occupant.next()).toEqual(ice(1));
  });

  test("is refused fewer than 20 times a minute, however often it comes", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A");
    await using newcomers = new AsyncDisposableStack();
    const come = async () => {
      const newcomer = await TestClient.open(server.ws, appId, "A");
      newcomers.use(newcomer);
      await quiet(occupant, newcomer);
      return newcomer;
    };
    let newcomer = await come();
    let refused = 0;
    const minutes = 3;
    for (let second = 0; second < minutes * 60; second++) {
      clock.advance(1_000);
      if ((await server.metric('nt_closes_total{reason="busy"}')) === refused) continue;
      refused++;
      expect((await newcomer.closed).code).toBe(1008);
      newcomer = await come();
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused / minutes).toBeLessThan(20);
  });

  test("gets the seat when the occupant leaves meanwhile", async () => {
    await using server = await testServer();
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(occupant, peer);
    await using newcomer = await TestClient.open(server.ws, appId, "A");
    await occupant.close();
    expect(await newcomer.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "room_full" });
  });

  test("has its frames handled in order once it is seated, and none before", async () => {
    await using server = await testServer();
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(occupant, peer);
    await using newcomer = await TestClient.open(server.ws, appId, "A");
    newcomer.send({ type: "offer", sdp: "parked" });
    for (let i = 0; i < 20; i++) newcomer.send(ice(i));
    await quiet(newcomer, peer);
    expect(peer.texts).toEqual([]);
    await occupant.close();
    newcomer.send(ice(20));

    expect(await peer.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "offer", sdp: "parked" });
    for (let i = 0; i <= 20; i++) expect(await peer.next()).toEqual(ice(i));
  });

  test.each([
    ["32 frames, and sends one more", 31, 2, 0],
    ["the bytes of one frame, and sends more", 1, 1, 700],
  ])("may have it wait with %s: then it is sent away", async (_, before, more, bytes) => {
    await using server = await testServer({ ...calm, WS_MAX_MSG: "1025" }, { clock: fakeClock() });
    const appId = room();
    await using _occupant = await TestClient.open(server.ws, appId, "A");
    await using newcomer = await RawClient.open(server.ws, { appId });
    const frame = Buffer.from(JSON.stringify({ type: "ice", candidate: "x".repeat(bytes) }));
    const burst = (count: number) =>
      Buffer.concat(Array.from({ length: count }, () => encodeFrame(opcodes.text, frame)));
    newcomer.sendRaw(burst(before));
    await newcomer.settled();
    newcomer.sendRaw(burst(more));
    expect(await newcomer.ended).toEqual({ code: 1008, reason: "too many frames while waiting" });
  });

  test("gives way to a later newcomer", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = room();
    await using occupant = await TestClient.open(server.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(occupant, peer);
    await using first = await TestClient.open(server.ws, appId, "A");
    await quiet(occupant, first);
    await using second = await TestClient.open(server.ws, appId, "A");
    clock.advance(2_999);
    await quiet(occupant, first, second);
    expect(first.isClosed).toBe(false);
    clock.advance(1);
    expect(await first.closed).toEqual({ code: 1008, reason: "side A busy" });

    // One that has waited is sent away at once, and one that gave up costs nobody a place.
    await using third = await TestClient.open(server.ws, appId, "A");
    await quiet(occupant, third);
    clock.advance(1);
    expect(await second.closed).toEqual({ code: 1008, reason: "side A busy" });
    await third.close();
    await using last = await TestClient.open(server.ws, appId, "A");
    await quiet(occupant, last);
    await occupant.close();
    expect(await last.next()).toEqual({ type: "room_full" });
  });
});

describe("a newcomer to a dead occupant's seat", () => {
  test("is seated once the occupant has not answered, with no sid to tell who it is", async () => {
    await using server = await testServer();
    await using proxy = startProxy(server.port);
    const appId = room();
    await using _occupant = await TestClient.open(proxy.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(peer);
    proxy.latest().cut("silent");

    await using newcomer = await TestClient.open(server.ws, appId, "A");
    expect(await newcomer.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "room_full" });
    await proves(server, newcomer, peer);
    expect(await server.metric('nt_takeovers_total{reason="dead"}')).toBe(1);
  });

  test("keeps it, and the old socket is told by its end", async () => {
    await using server = await testServer();
    await using proxy = startProxy(server.port);
    const appId = room();
    await using old = await TestClient.open(proxy.ws, appId, "A");
    await using peer = await TestClient.open(server.ws, appId, "B");
    await quiet(old, peer);
    proxy.latest().stall("toServer");
    await using newcomer = await TestClient.open(server.ws, appId, "A");
    expect(await newcomer.next()).toEqual({ type: "room_full" });

    await old.closed;
    expect(await peer.next()).toEqual({ type: "room_full" });
    await proves(server, newcomer, peer);
    expect(await peer.settled()).toEqual([]);
  });
});

describe("an occupant that makes progress keeps its seat, though it cannot answer a ping", () => {
  /** Both are seated; the occupant's socket is a raw one, which says nothing by itself. */
  async function occupied(env: Record<string, string> = {}, sid?: string) {
    const clock = fakeClock();
    const server = await testServer({ ...calm, SLOW_PEER_TIMEOUT: "10m", ...env }, { clock });
    const appId = room();
    const occupant = await RawClient.open(server.ws, { appId, ...(sid !== undefined && { sid }) });
    const peer = await TestClient.open(server.ws, appId, "B");
    expect(await occupant.nextText()).toBe('{"type":"room_full"}');
    expect(await peer.next()).toEqual({ type: "room_full" });
    const newcomers: TestClient[] = [];
    return {
      ...{ clock, server, occupant, peer },
      newcomer: async () => {
        const newcomer = await TestClient.open(server.ws, appId, "A");
        newcomers.push(newcomer);
        return newcomer;
      },
      async [Symbol.asyncDispose]() {
        for (const one of [occupant, peer, ...newcomers]) await one[Symbol.asyncDispose]();
        await server.stop();
      },
    };
  }
  const text = (bytes: number) => `{"type":"offer","sdp":"${"x".repeat(bytes)}"}`;
  const dead = 'nt_takeovers_total{reason="dead"}';
  const busy = { code: 1008, reason: "side A busy" };

  test.each([
    ["its first large frame, sent at 1 Mbit/s", undefined, 0],
    ["a large frame after a long silence, as it has sent some before", undefined, 20_000],
    ["a large frame after a long silence, as a mailbox client", "", 20_000],
  ])("in the middle of %s", async (_, sid, silentMs) => {
    await using at = await occupied({}, sid);
    if (silentMs > 0 && sid === undefined) {
      at.occupant.send(text(20_000));
      await at.peer.nextText();
    }
    at.clock.advance(silentMs);
    const frame = encodeFrame(opcodes.text, Buffer.from(text(300_000)));
    at.occupant.fallSilent();
    at.occupant.sendRaw(frame.subarray(0, 1_000));
    await at.occupant.flushed();
    const newcomer = await at.newcomer();
    at.clock.advance(silentMs > 0 ? 4_800 : 2_400);
    at.occupant.sendRaw(frame.subarray(1_000));
    expect(await at.peer.nextText()).toBe(text(300_000));
    at.clock.advance(5_000);
    expect(await newcomer.closed).toEqual(busy);
    expect(await at.server.metric(dead)).toBe(0);
  });

  test("when 200 kB that the network has taken stand before the ping", async () => {
    await using at = await occupied();
    at.occupant.pause();
    at.clock.advance(20_000);
    at.peer.send(text(200_000));
    await at.peer.settled();
    const newcomer = await at.newcomer();
    await at.peer.settled();
    at.clock.advance(4_000);
    await at.peer.settled();
    expect(await at.server.metric(dead)).toBe(0);
    at.occupant.resume();
    expect(await at.occupant.nextText()).toBe(text(200_000));
    await at.occupant.settled();
    at.clock.advance(5_000);
    expect(await newcomer.closed).toEqual(busy);
    expect(await at.server.metric(dead)).toBe(0);
  });

  test("when its pong takes more than a second to come", async () => {
    await using at = await occupied({ HEARTBEAT: "20s" });
    const { occupant, clock, server } = at;
    occupant.pause();
    // By then it is pinged, and its pong comes a second later at least.
    clock.advance(23_000);
    occupant.resume();
    await occupant.settled();
    occupant.fallSilent();
    clock.advance(15_000);
    const newcomer = await at.newcomer();
    clock.advance(2_900);
    await at.peer.settled();
    expect(await server.metric(dead)).toBe(0);
    clock.advance(2_010);
    expect(await newcomer.next()).toEqual({ type: "room_full" });
  });

  test("when it takes what is queued for it, and its pong is far behind", async () => {
    await using at = await occupied();
    const { occupant, server, clock } = at;
    occupant.pause();
    const queued = () => server.metric("nt_ws_buffered_bytes");
    for (let n = 0; n < 400; n++) at.peer.send(text(65_536));
    await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
    const newcomer = await at.newcomer();
    const before = await queued();
    const alreadyRead = occupant.bytesRead;
    occupant.resume();
    await server.metricBecomes("nt_ws_buffered_bytes", (bytes) => bytes !== before);
    occupant.pause();
    expect(occupant.bytesRead).toBeGreaterThan(alreadyRead);
    clock.advance(4_950);
    await at.newcomer();
    expect(await server.metric(dead)).toBe(0);
    expect(newcomer.isClosed).toBe(false);
  });

  test.each([
    ["whatever was sent to it", 10, 0],
    ["also in the middle of a frame", 0, 150_000],
  ])("but a silent one is replaced within 5 s, %s", async (_, unread, unfinished) => {
    await using at = await occupied();
    at.occupant.sendRaw(
      encodeFrame(opcodes.text, Buffer.from(text(300_000))).subarray(0, unfinished),
    );
    await at.occupant.flushed();
    at.occupant.fallSilent();
    at.occupant.pause();
    for (let n = 0; n < unread; n++) at.peer.send(text(65_536));
    await at.peer.settled();
    const newcomer = await at.newcomer();
    await at.peer.settled();
    at.clock.advance(4_910);
    expect(await newcomer.next()).toEqual({ type: "room_full" });
    expect(await at.server.metric(dead)).toBe(1);
  });

  test("and one that was idle and says nothing but pongs of its own is replaced after a second", async () => {
    await using at = await occupied();
    at.occupant.fallSilent();
    at.clock.advance(20_000);
    await at.newcomer();
    const newcomer = await at.newcomer();
    for (const pong of ["", "probe-", "1234.5"]) {
      at.occupant.sendFrame(opcodes.pong, Buffer.from(pong));
    }
    await at.occupant.flushed();
    await at.peer.settled();
    // Asked once: one answer would have served both.
    await at.occupant.pinged();
    expect(at.occupant.pings).toBe(1);
    at.clock.advance(1_100);
    expect(await newcomer.next()).toEqual({ type: "room_full" });
    expect(await at.server.metric(dead)).toBe(1);
  });
});

/** These two are seated: frames go both ways. */
async function proves(server: TestServer, a: TestClient, b: TestClient): Promise<void> {
  a.send(ice(100));
  expect(await b.next()).toEqual(ice(100));
  b.send(ice(101));
  expect(await a.next()).toEqual(ice(101));
  expect(await server.metric("nt_peers_active")).toBe(2);
}

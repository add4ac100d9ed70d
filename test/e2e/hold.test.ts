import { describe, expect, test } from "bun:test";
import { type RelayFrame, type Side, SignalingClient } from "../../src/client/client.ts";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { type Network, startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";
import { Changes, within } from "../support/waiting.ts";
import { RejoiningPeer } from "../support/webrtc.ts";

const roomFull = { type: "room_full" };
const offer = (sdp: string) => ({ type: "offer", sdp }) as const;
const answer = (sdp: string) => ({ type: "answer", sdp }) as const;
const ice = (candidate: number) => ({ type: "ice", candidate: String(candidate) }) as const;
/** How long the first relay frame of a returning side is waited for. */
const settleMs = 500;

/** A room that A has just left and in which B has heard so. */
async function leftByA(env: Record<string, string> = {}, sid = "s") {
  const clock = fakeClock();
  const server = await testServer({ HEARTBEAT: "10m", ...env }, { clock });
  const appId = crypto.randomUUID();
  const a = await TestClient.open(server.ws, appId, "A", { sid });
  const b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("peer_joined");
  await a.close();
  await b.nextOf("peer_left");
  return {
    appId,
    b,
    server,
    clock,
    returns: (options: { sid?: string } = { sid }) =>
      TestClient.open(server.ws, appId, "A", options),
    async [Symbol.asyncDispose]() {
      await b[Symbol.asyncDispose]();
      await server.stop();
    },
  };
}

describe("relay frames for a side that is between two sockets", () => {
  test("arrive after its room_full, byte for byte and in order", async () => {
    await using room = await leftByA();
    const frames = [
      '{"type":"answer", "sdp":"ü" }',
      '{"type":"ICE","cand":null}',
      '{"type":"ice"}',
    ];
    for (const frame of frames) room.b.send(frame);
    await room.b.settled();

    await using a = await room.returns();
    expect(await a.settled()).toEqual([roomFull]);
    room.clock.advance(settleMs);
    for (const frame of frames) expect(await a.nextText()).toBe(frame);
    expect(await a.settled()).toEqual([]);
  });

  test("arrive at once when it goes on with an answer or a candidate", async () => {
    await using room = await leftByA();
    room.b.send(ice(1));
    await room.b.settled();
    await using a = await room.returns();
    a.send(answer("goes on"));
    expect(await a.next()).toEqual(roomFull);
    expect(await a.next()).toEqual(ice(1));
    expect(await room.b.nextOf("answer")).toEqual(answer("goes on"));
  });

  test("arrive before those that come after its return", async () => {
    await using room = await leftByA();
    room.b.send(ice(1));
    await room.b.settled();
    await using a = await room.returns();
    await a.settled();
    room.b.send(ice(2));
    await room.b.settled();
    a.send(ice(0));
    room.b.send(ice(3));
    for (const n of [1, 2, 3]) expect(await a.next()).toEqual(ice(n));
  });

  test("arrive when the sender has lost its socket as well", async () => {
    await using room = await leftByA();
    room.b.send(ice(1));
    await room.b.close();
    await using b = await TestClient.open(room.server.ws, room.appId, "B", { v2: true });
    b.send(ice(2));
    await b.settled();
    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.next()).toEqual(roomFull);
    expect(await a.next()).toEqual(ice(1));
    expect(await a.next()).toEqual(ice(2));
  });

  test("wait for its room_full also when it is back before the sender, which left as well", async () => {
    await using room = await leftByA();
    room.b.send(ice(1));
    await room.b.settled();
    await room.b.close();
    await using a = await room.returns();
    await a.settled();
    room.clock.advance(settleMs);
    expect(await a.settled()).toEqual([]);
    await using _b = await TestClient.open(room.server.ws, room.appId, "B", { v2: true });
    expect(await a.next()).toEqual(roomFull);
    room.clock.advance(settleMs);
    expect(await a.next()).toEqual(ice(1));
  });

  test("are held up to 128, and a v2 sender hears of each one past that", async () => {
    await using room = await leftByA();
    for (let i = 0; i < 130; i++) room.b.send(ice(i));
    const faults = await room.b.settled();
    expect(faults.map(({ code }) => code)).toEqual(["peer_absent", "peer_absent"]);
    expect(await room.server.metric("nt_held_frames")).toBe(128);

    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.next()).toEqual(roomFull);
    for (let i = 0; i < 128; i++) expect(await a.next()).toEqual(ice(i));
    expect(await a.settled()).toEqual([]);
  });

  test("are gone once it has stayed away for RELAY_HOLD", async () => {
    await using room = await leftByA({ RELAY_HOLD: "3s" });
    room.b.send(ice(1));
    await room.b.settled();
    room.clock.advance(3_000);
    room.b.send(ice(2));
    expect(await room.b.next()).toMatchObject({ type: "error", code: "peer_absent" });
    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.settled()).toEqual([roomFull]);
  });

  test("are not held at all with RELAY_HOLD=0", async () => {
    await using room = await leftByA({ RELAY_HOLD: "0" });
    room.b.send(ice(1));
    expect(await room.b.next()).toMatchObject({ type: "error", code: "peer_absent" });
    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.settled()).toEqual([roomFull]);
    expect(await room.server.metric('nt_drops_total{reason="no_peer"}')).toBe(1);
  });
});

describe("relay frames are not held", () => {
  test("for a side that was not there yet: its start would answer a stale offer", async () => {
    await using server = await testServer();
    const appId = crypto.randomUUID();
    await using a = await TestClient.open(server.ws, appId, "A", { v2: true });
    await using silent = await TestClient.open(server.ws, crypto.randomUUID(), "A");
    a.send(offer("too early"));
    silent.send(offer("too early"));
    expect(await a.nextOf("error")).toMatchObject({ code: "peer_absent" });
    expect(await silent.settled()).toEqual([]);
    await using b = await TestClient.open(server.ws, appId, "B");
    expect(await b.settled()).toEqual([roomFull]);
    expect(await server.metric('nt_drops_total{reason="no_peer"}')).toBe(2);
  });

  test("for a returning side that begins anew with an offer", async () => {
    await using room = await leftByA();
    room.b.send(answer("stale"));
    room.b.send(ice(1));
    await room.b.settled();
    await using a = await room.returns();
    a.send(offer("anew"));
    expect(await a.settled()).toEqual([roomFull]);
    expect(await room.b.nextOf("offer")).toEqual(offer("anew"));
    room.b.send(answer("fresh"));
    expect(await a.next()).toEqual(answer("fresh"));
    expect(await room.server.metric('nt_drops_total{reason="stale"}')).toBe(2);
  });

  test("for a returning side with another sid", async () => {
    await using room = await leftByA();
    room.b.send(answer("stale"));
    await room.b.settled();
    await using a = await room.returns({ sid: "another" });
    room.b.send(ice(1));
    expect(await a.next()).toEqual(roomFull);
    expect(await a.next()).toEqual(ice(1));
  });

  test("of an earlier connection, once a later one of that side has made a new offer", async () => {
    await using room = await leftByA();
    room.b.send(offer("first life"));
    room.b.send(ice(1));
    await room.b.close();
    await using b = await TestClient.open(room.server.ws, room.appId, "B", { v2: true });
    b.send(offer("second life"));
    b.send(ice(2));
    await b.settled();

    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.next()).toEqual(roomFull);
    expect(await a.next()).toEqual(offer("second life"));
    expect(await a.next()).toEqual(ice(2));
    expect(await a.settled()).toEqual([]);
  });

  test("but a second offer of the same connection leaves the first where it is", async () => {
    await using room = await leftByA();
    for (const sdp of ["1", "2"]) room.b.send(offer(sdp));
    await room.b.settled();
    await using a = await room.returns();
    room.clock.advance(settleMs);
    expect(await a.next()).toEqual(roomFull);
    expect(await a.next()).toEqual(offer("1"));
    expect(await a.next()).toEqual(offer("2"));
  });
});

// ---- two WebRTC peers ----

/** One side's own client behind a network of its own. */
function signal(network: Network, appId: string, side: Side, sid: string) {
  const frames: RelayFrame[] = [];
  const changes = new Changes();
  const changed = () => changes.changed();
  const seen = { left: 0, joined: 0 };
  const client = new SignalingClient({
    url: network.http,
    appId,
    side,
    sid,
    minRetryMs: 10,
    maxRetryMs: 50,
    on: {
      relay(frame) {
        frames.push(frame);
        changed();
      },
      peerLeft() {
        seen.left++;
        changed();
      },
      peerJoined() {
        seen.joined++;
        changed();
      },
      welcome: changed,
      state: changed,
    },
  });
  const until = (what: string, is: () => boolean) => changes.until(what, is);
  return {
    client,
    frames,
    seen,
    until,
    online: () => until(`${side} to be online`, () => client.state === "online"),
    offline: () => until(`${side} to be offline`, () => client.state !== "online"),
    /** The server has handled everything said so far: it has stored the mail that comes last. */
    said: () => within("mail to be stored", client.send("barrier")),
    says(all: readonly RelayFrame[]) {
      for (const frame of all) client.relay(frame);
    },
    /** Hands frames over to the peer, in order, from the first one not yet handed over. */
    async tells(peer: RejoiningPeer, count: number) {
      await until(`${count} frames for ${side}`, () => frames.length >= count);
      for (const frame of frames.splice(0, count)) await peer.hear(frame);
    },
    [Symbol.dispose]: () => client.close(),
  };
}

describe("two WebRTC peers", () => {
  /** A room on a server, and a network to it for each side. */
  async function setUp() {
    const parts = new AsyncDisposableStack();
    const server = parts.use(await testServer());
    const networkA = parts.use(startProxy(server.port));
    const networkB = parts.use(startProxy(server.port));
    const dispose = () => parts.disposeAsync();
    return { networkA, networkB, appId: crypto.randomUUID(), [Symbol.asyncDispose]: dispose };
  }

  test("connect although each loses its socket in the middle of the exchange", async () => {
    await using room = await setUp();
    const { networkA, networkB, appId } = room;
    await using peerA = new RejoiningPeer("from A");
    await using peerB = new RejoiningPeer("from B");
    using a = signal(networkA, appId, "A", "a");
    using b = signal(networkB, appId, "B", "b");
    await a.until("B", () => a.seen.joined > 0);

    const offered = await peerA.offer();
    a.says(offered);
    await b.tells(peerB, offered.length);

    networkA.down("reset");
    await b.until("A to be gone", () => b.seen.left > 0);
    const answered = await peerB.answer();
    b.says(answered.slice(0, 1));
    await b.said();
    networkB.down("fin");
    await b.offline();
    b.says(answered.slice(1));
    networkB.up();
    await b.online();
    await b.said();
    networkA.up();

    await a.tells(peerA, answered.length);
    expect(await peerA.hears()).toBe("from B");
    expect(await peerB.hears()).toBe("from A");
    expect(a.frames).toEqual([]);
  });

  test("connect although one was restarted, and it hears no answer to its earlier offer", async () => {
    await using room = await setUp();
    const { networkA, networkB, appId } = room;
    await using earlier = new RejoiningPeer("from A's first life");
    await using earlierB = new RejoiningPeer("to A's first life");
    using b = signal(networkB, appId, "B", "b");
    {
      using a = signal(networkA, appId, "A", "a");
      await a.until("B", () => a.seen.joined > 0);
      const offered = await earlier.offer();
      a.says(offered);
      await b.tells(earlierB, offered.length);
    }
    await b.until("A to be gone", () => b.seen.left > 0);
    b.says(await earlierB.answer());
    await b.said();

    await using peerA = new RejoiningPeer("from A");
    await using peerB = new RejoiningPeer("from B");
    const offered = await peerA.offer();
    using a = signal(networkA, appId, "A", "a");
    a.says(offered);
    await b.tells(peerB, offered.length);
    const answered = await peerB.answer();
    b.says(answered);
    await a.until("the answer", () => a.frames.length > 0);
    expect(a.frames[0]).toEqual(answered[0] as RelayFrame);
    await a.tells(peerA, answered.length);
    expect(await peerA.hears()).toBe("from B");
    expect(await peerB.hears()).toBe("from A");
  });

  test("connect although one was restarted while the other was away, which hears one offer", async () => {
    await using room = await setUp();
    const { networkA, networkB, appId } = room;
    await using earlier = new RejoiningPeer("from A's first life");
    await using peerA = new RejoiningPeer("from A");
    await using peerB = new RejoiningPeer("from B");
    using b = signal(networkB, appId, "B", "b");
    {
      using a = signal(networkA, appId, "A", "a");
      await a.until("B", () => a.seen.joined > 0);
      networkB.down("reset");
      await a.until("B to be gone", () => a.seen.left > 0);
      a.says(await earlier.offer());
      await a.said();
    }
    const offered = await peerA.offer();
    using a = signal(networkA, appId, "A", "a");
    a.says(offered);
    await a.said();
    networkB.up();

    await b.until("the offer", () => b.frames.length > 0);
    expect(b.frames[0]).toEqual(offered[0] as RelayFrame);
    await b.tells(peerB, offered.length);
    const answered = await peerB.answer();
    b.says(answered);
    await a.tells(peerA, answered.length);
    expect(await peerA.hears()).toBe("from B");
    expect(await peerB.hears()).toBe("from A");
  });
});

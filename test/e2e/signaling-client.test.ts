import { describe, expect, test } from "bun:test";
import {
  type ClientOptions,
  type ClientState,
  type Fault,
  mint,
  type RelayFrame,
  RendezvousError,
  redeem,
  SignalingClient,
  type Welcome,
} from "../../src/client/client.ts";
import { startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";
import { Changes } from "../support/waiting.ts";

/** A client, and all that it has said of itself. */
function listen(options: Omit<ClientOptions, "on">) {
  const changes = new Changes();
  const states: ClientState[] = [];
  const welcomes: Welcome[] = [];
  const frames: RelayFrame[] = [];
  const mails: unknown[] = [];
  const faults: Fault[] = [];
  const joined: string[] = [];
  const into =
    <T>(list: T[]) =>
    (value: T) => {
      list.push(value);
      changes.changed();
    };
  const client = new SignalingClient({
    minRetryMs: 10,
    maxRetryMs: 50,
    ...options,
    on: {
      state: into(states),
      welcome: into(welcomes),
      relay: into(frames),
      mail: into(mails),
      error: into(faults),
      peerJoined: () => into(joined)("joined"),
      peerLeft: () => into(joined)("left"),
    },
  });
  return {
    client,
    states,
    welcomes,
    frames,
    mails,
    faults,
    joined,
    until: (what: string, is: () => boolean) => changes.until(what, is),
    online: () => changes.until("a welcome", () => client.state === "online"),
    [Symbol.dispose]: () => client.close(),
  };
}

const newRoom = (url: string) => ({ url, appId: crypto.randomUUID() });

test("two strangers meet by a code and talk", async () => {
  await using server = await testServer();
  const { code, appID } = await mint(server.http);
  using a = listen({ url: server.http, appId: appID, side: "A" });
  using b = listen({
    url: `${server.http}/`,
    appId: (await redeem(server.http, code)).appID,
    side: "B",
  });
  await a.until("the other one", () => a.joined.includes("joined"));

  a.client.relay({ type: "offer", sdp: "o" });
  expect(await a.client.send({ any: ["json", 1] })).toBe(1);
  await b.until("offer and mail", () => b.frames.length + b.mails.length === 2);
  expect(b.frames).toEqual([{ type: "offer", sdp: "o" }]);
  expect(b.mails).toEqual([{ any: ["json", 1] }]);
  b.client.close();
  await a.until("the other one to leave", () => a.joined.includes("left"));
});

test("says what the server has found wrong, and when it cannot be reached", async () => {
  await using server = await testServer({ HTTP_RATE_PER_MIN: "2" });
  const fault = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: RendezvousError) => error,
    );
  expect(await fault(redeem(server.http, "0000"))).toMatchObject({ code: "code_gone" });
  expect(await fault(redeem(server.http, "x"))).toMatchObject({ code: "malformed" });
  const limited = await fault(mint(server.http));
  expect(limited).toBeInstanceOf(RendezvousError);
  expect(limited?.code).toBe("rate_limited");
  expect(limited?.retryAfterMs).toBeGreaterThan(0);
  expect(await fault(mint("http://127.0.0.1:1"))).toMatchObject({ code: "unreachable" });
});

describe("a client that is not connected yet", () => {
  test("keeps what it relays until it is, from its last offer on", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    const room = newRoom(server.http);
    network.down("reset");
    using b = listen({ ...room, side: "B" });
    await b.online();
    using a = listen({ ...room, url: network.http, side: "A" });
    for (const sdp of ["1", "2"]) {
      expect(a.client.relay({ type: "offer", sdp })).toBe(true);
      expect(a.client.relay({ type: "ice", candidate: sdp })).toBe(true);
    }
    network.up();
    await b.until("both frames", () => b.frames.length === 2);
    expect(b.frames).toEqual([
      { type: "offer", sdp: "2" },
      { type: "ice", candidate: "2" },
    ]);
  });

  test("keeps no more than 128 frames", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    network.down("reset");
    using a = listen({ ...newRoom(network.http), side: "A" });
    for (let n = 0; n < 128; n++) expect(a.client.relay({ type: "ice", n })).toBe(true);
    expect(a.client.relay({ type: "ice", n: 128 })).toBe(false);
    expect(a.client.relay({ type: "offer", sdp: "anew" })).toBe(true);
  });

  test("tries until it gets through", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    network.down("reset");
    using a = listen({ ...newRoom(network.http), side: "A" });
    const retries = () => a.states.filter((state) => state === "retrying").length;
    await a.until("five tries", () => retries() >= 5);
    network.up();
    await a.online();
  });
});

describe("mail", () => {
  test("keeps its order past a full mailbox, whatever its size", async () => {
    await using server = await testServer({ MAILBOX_MAX_BYTES: "2000", WS_MAX_MSG: "2000" });
    const room = newRoom(server.http);
    using a = listen({ ...room, side: "A" });
    const mails = ["x".repeat(1_500), "y".repeat(1_500), "small", "z".repeat(1_000)];
    const stored = Promise.all(mails.map((mail) => a.client.send(mail)));
    await a.until("the mailbox to be full", () => a.faults.length > 0);
    expect(a.faults[0]?.code).toBe("mailbox_full");

    using b = listen({ ...room, side: "B" });
    await b.until("all mail", () => b.mails.length === mails.length);
    expect(b.mails).toEqual(mails);
    expect(await stored).toEqual([1, 2, 3, 4]);
  });

  test("that can never be stored is given back, and the next one goes on", async () => {
    await using server = await testServer();
    using a = listen({ ...newRoom(server.http), side: "A" });
    const nothing = a.client.send(undefined);
    const something = a.client.send("something");
    await expect(nothing).rejects.toThrow("payload");
    expect(await something).toBe(1);
  });

  test("goes on after a reload where it was, for a client that kept its sid and its place", async () => {
    await using server = await testServer();
    const room = newRoom(server.http);
    using a = listen({ ...room, side: "A" });
    const kept = { sid: "", deliveredUpTo: 0 };
    {
      using b = listen({ ...room, side: "B" });
      await a.client.send("before");
      await b.until("mail", () => b.mails.length === 1);
      kept.sid = b.client.sid;
      kept.deliveredUpTo = b.client.deliveredUpTo;
    }
    await a.client.send("meanwhile");
    using b = listen({ ...room, side: "B", ...kept });
    await b.until("mail", () => b.mails.length > 0);
    expect(b.mails).toEqual(["meanwhile"]);
  });
});

describe("a client stops", () => {
  test("when another one with its sid has taken its seat", async () => {
    await using server = await testServer();
    const room = { ...newRoom(server.http), side: "A", sid: "s" } as const;
    using first = listen(room);
    await first.online();
    using second = listen(room);
    await second.online();
    await first.until("its end", () => first.client.state === "replaced");
    first.client.reconnect();
    expect(first.client.state).toBe("replaced");
  });

  test("when the server finds fault with its message, which it would only repeat", async () => {
    await using server = await testServer({ WS_MAX_MSG: "2000" });
    using a = listen({ ...newRoom(server.http), side: "A" });
    await a.online();
    expect(a.welcomes[0]?.maxMessageBytes).toBe(2_000);
    a.client.relay({ type: "offer", sdp: "x".repeat(2_000) });
    await a.until("its end", () => a.client.state === "refused");
  });
});

test("a client that is told that its network has changed is back on a new socket at once", async () => {
  await using server = await testServer();
  await using network = startProxy(server.port);
  using a = listen({ ...newRoom(network.http), side: "A" });
  await a.online();
  network.latest().cut("silent");
  a.client.reconnect();
  await a.until("a second welcome", () => a.welcomes.length === 2);
});

test("a client that only listens finds out by itself that its network is gone", async () => {
  await using server = await testServer();
  await using network = startProxy(server.port);
  const quick = { pingMs: 50, answerMs: 1_500 };
  using a = listen({ ...newRoom(network.http), side: "A", ...quick });
  await a.online();
  await server.metricBecomes('nt_signal_messages_total{type="ping"}', (pings) => pings > 2);
  expect(a.states).toEqual(["online"]);
  network.latest().cut("silent");
  await a.until("a second welcome", () => a.welcomes.length === 2);
  expect(a.states.slice(0, 2)).toEqual(["online", "retrying"]);
});

test("a client that finds its seat taken waits for it", async () => {
  await using server = await testServer();
  const room = newRoom(server.http);
  using occupant = listen({ ...room, side: "A" });
  await occupant.online();
  using newcomer = listen({ ...room, side: "A" });
  await newcomer.until("a try", () => newcomer.client.state === "connecting");
  occupant.client.close();
  await newcomer.online();
});

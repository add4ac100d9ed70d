import { describe, expect, test } from "bun:test";
import {
  ClientEnded,
  type ClientOptions,
  type ClientState,
  type Fault,
  MailError,
  mint,
  type Reason,
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
  const reasons: (Reason | undefined)[] = [];
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
      state: (state, why) => {
        reasons.push(why);
        into(states)(state);
      },
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
    reasons,
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

test("two strangers meet by a code and talk, over one socket each", async () => {
  await using server = await testServer();
  using a = listen({ url: server.http, sid: null, appId: null });
  const { code, expiresAt } = await a.client.mint();
  expect(Date.parse(expiresAt)).toBeGreaterThan(a.client.serverNow());
  using b = listen({ url: `${server.http}/` });
  await expect(b.client.redeem("0000")).rejects.toMatchObject({ code: "code_gone" });
  await expect(b.client.redeem("12")).rejects.toMatchObject({ code: "malformed" });
  expect((await b.client.redeem(` ${code}\n`)).appID).toBe(String(a.client.appId));
  expect([a.client.side, b.client.side]).toEqual(["A", "B"]);
  await a.until("the other one", () => a.joined.includes("joined"));

  a.client.relay({ type: "offer", sdp: "o" });
  expect(await a.client.send({ any: ["json", 1] })).toBe(1);
  await b.until("offer and mail", () => b.frames.length + b.mails.length === 2);
  expect(b.frames).toEqual([{ type: "offer", sdp: "o" }]);
  expect(b.mails).toEqual([{ any: ["json", 1] }]);
  expect([a.faults, b.faults]).toEqual([[], []]);
  b.client.close();
  await a.until("the other one to leave", () => a.joined.includes("left"));
});

test("a room from a code over HTTP is joined in the same way", async () => {
  await using server = await testServer();
  const { code, appID } = await mint(server.http);
  using a = listen({ url: server.http, appId: appID, side: "A" });
  using b = listen({ url: server.http, appId: (await redeem(server.http, code)).appID, side: "B" });
  await Promise.all([a, b].map((one) => one.until("the other", () => one.joined.length > 0)));
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
  // As hotels have it, before one has agreed to their conditions.
  await using portal = Bun.serve({ port: 0, fetch: () => new Response("<h1>Welcome</h1>") });
  expect(await fault(mint(portal.url.href))).toMatchObject({ code: "unreachable" });
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
      expect(a.client.relay({ type: "ice", candidate: { candidate: sdp } })).toBe(true);
    }
    network.up();
    await b.until("both frames", () => b.frames.length === 2);
    expect(b.frames).toEqual([
      { type: "offer", sdp: "2" },
      { type: "ice", candidate: { candidate: "2" } },
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
    const large = a.client.send("x".repeat(2_000_000));
    await expect(large).rejects.toEqual(expect.any(MailError));
    await expect(large).rejects.toMatchObject({ code: "too_large" });
    expect(a.client.relay({ type: "offer", sdp: "x".repeat(2_000_000) })).toBe(false);
    expect(a.client.relay(null)).toBe(false);
    expect(await a.client.send("and goes on")).toBe(2);
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

  test("when another one has its side and lives", async () => {
    await using server = await testServer();
    const room = newRoom(server.http);
    using occupant = listen({ ...room, side: "A" });
    await occupant.online();
    using newcomer = listen({ ...room, side: "A" });
    const mail = newcomer.client.send("never stored");
    await expect(mail).rejects.toMatchObject({ state: "busy", reason: { retries: false } });
    expect(newcomer.client.state).toBe("busy");
    expect(newcomer.reasons.at(-1)).toMatchObject({ code: 1008, detail: "side A busy" });
  });

  test("when the server can never accept what it asks for", async () => {
    await using server = await testServer();
    using a = listen({ url: server.http, appId: "not a UUID", side: "A" });
    await a.until("its end", () => a.client.state === "invalid");
    expect(a.reasons.at(-1)).toMatchObject({ code: "malformed", retries: false });
    expect(a.reasons.at(-1)?.detail).toContain("appID must be a UUID");
  });

  test("when the server has refused its message, which it would only repeat", async () => {
    using server = closingServer(1009);
    using a = listen({ ...newRoom(server.url), side: "A" });
    await a.until("its end", () => a.client.state === "refused");
  });

  test("for good: what was not done is rejected, and nothing can be begun", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    network.down("reset");
    using a = listen({ url: network.http });
    const begun = [a.client.mint(), a.client.send("waits"), a.client.send("waits too")];
    a.client.close();
    const late = [a.client.redeem("1234"), a.client.send("late")];
    for (const call of [...begun, ...late]) {
      await expect(call).rejects.toEqual(expect.any(ClientEnded));
    }
    expect(a.client.relay({ type: "offer", sdp: "late" })).toBe(false);
    expect(a.reasons.at(-1)).toMatchObject({ code: "closed", retries: false });
  });
});

/** A server that closes whatever connects, with this code. */
function closingServer(code: number) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, bun) =>
      bun.upgrade(request, { headers: { "Sec-WebSocket-Protocol": "nt.v2" } })
        ? undefined
        : new Response(null, { status: 400 }),
    websocket: { open: (ws) => ws.close(code), message() {} },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

test("a WebSocket that reports a refused connection by an error alone is tried again at once", async () => {
  const tries: object[] = [];
  class Refused {
    readonly readyState = 3;
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror: ((event: never) => void) | null = null;
    constructor() {
      tries.push(this);
      queueMicrotask(() => (this.onerror as (() => void) | null)?.());
    }
    send(): void {}
    close(): void {}
  }
  using a = listen({ ...newRoom("http://server.test"), side: "A", WebSocket: Refused });
  await a.until("a third try", () => tries.length >= 3);
  expect(a.reasons.find(Boolean)).toMatchObject({ code: 1006, retries: true });
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
  expect(a.states).toEqual(["open", "online"]);
  network.latest().cut("silent");
  await a.until("a second welcome", () => a.welcomes.length === 2);
  expect(a.states.slice(0, 3)).toEqual(["open", "online", "retrying"]);
});

test("a client that finds its seat taken waits for it", async () => {
  await using server = await testServer();
  const room = newRoom(server.http);
  using occupant = listen({ ...room, side: "A" });
  await occupant.online();
  using newcomer = listen({ ...room, side: "A" });
  await newcomer.until("a try", () => newcomer.client.state === "open");
  occupant.client.close();
  await newcomer.online();
});

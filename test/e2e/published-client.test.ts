import { expect, test } from "bun:test";
import { browserWSWithReconnect } from "@noisytransfer/transport";
import { TestClient } from "../support/client.ts";
import { testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";
import { type MailboxOptions, PublishedMailbox } from "./published-mailbox.ts";

type ReconnectingSocket = ReturnType<typeof browserWSWithReconnect>;

/** The next message of a published socket, parsed as it does itself. */
function nextOf(socket: ReconnectingSocket): Promise<unknown> {
  const heard = Promise.withResolvers<unknown>();
  const stop = socket.onMessage((message: unknown) => heard.resolve(message));
  return within("a message", heard.promise.finally(stop));
}

test("browserWSWithReconnect joins, hears room_full and relays both ways", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  const connect = (side: string) =>
    browserWSWithReconnect(`${server.ws}/ws?appID=${appId}&side=${side}`);
  const a = connect("A");
  const b = connect("B");
  try {
    expect(await Promise.all([nextOf(a), nextOf(b)])).toEqual([
      { type: "room_full" },
      { type: "room_full" },
    ]);
    const [atA, atB] = [nextOf(a), nextOf(b)];
    a.send({ type: "offer", sdp: { type: "offer", sdp: "v=0" } });
    expect(await atB).toEqual({ type: "offer", sdp: { type: "offer", sdp: "v=0" } });
    b.send('{"type":"answer","sdp":"v=0"}');
    expect(await atA).toEqual({ type: "answer", sdp: "v=0" });
    const binary = nextOf(b);
    a.send(new TextEncoder().encode('{"type":"ice","candidate":null}'));
    expect(await binary).toEqual({ type: "ice", candidate: null });
  } finally {
    a.close();
    b.close();
  }
});

/** A published socket, and the sockets it has opened so far. */
function connected(url: string) {
  const sockets: WebSocket[] = [];
  const wsConstructor = function connect(address: string) {
    const socket = new WebSocket(address);
    sockets.push(socket);
    return socket;
  };
  return { socket: browserWSWithReconnect(url, { wsConstructor } as object), sockets };
}

/** As the published CLI does: says hello once its socket is open, and listens from then on. */
async function helloFrom(server: { readonly ws: string }, appId: string, side: string) {
  const { socket, sockets } = connected(`${server.ws}/ws?appID=${appId}&side=${side}`);
  const opened = new Promise((resolve) => sockets[0]?.addEventListener("open", resolve));
  await within("a socket to open", opened);
  const heard = nextOf(socket);
  socket.send({ type: "hello", side });
  return { socket, heard };
}

test("15 of 15 that listen once they are open hear room_full, the receiver first, then the sender", async () => {
  await using server = await testServer();
  for (let i = 0; i < 15; i++) {
    const appId = crypto.randomUUID();
    const receiver = await helloFrom(server, appId, "B");
    await server.metricBecomes("nt_peers_active", (peers) => peers === 1);
    const sender = await helloFrom(server, appId, "A");
    const told = await Promise.all([receiver.heard, sender.heard]);
    expect(told).toEqual([{ type: "room_full" }, { type: "room_full" }]);
    for (const { socket } of [receiver, sender]) socket.close();
    await server.metricBecomes("nt_peers_active", (peers) => peers === 0);
  }
});

test("15 of 15 that listen once they are open hear the offer that was sent as they opened", async () => {
  await using server = await testServer();
  for (let i = 0; i < 15; i++) {
    const appId = crypto.randomUUID();
    const { socket: sender } = await helloFrom(server, appId, "A");
    await server.metricBecomes("nt_peers_active", (peers) => peers === 1);
    const { socket, sockets } = connected(`${server.ws}/ws?appID=${appId}&side=B`);
    const opened = new Promise<void>((resolve) => {
      sockets[0]?.addEventListener("open", () => {
        sender.send({ type: "offer" });
        resolve();
      });
    });
    await within("a socket to open", opened);
    const heard: unknown[] = [];
    const both = new Promise<void>((resolve) => {
      socket.onMessage((message: unknown) => heard.push(message) === 2 && resolve());
    });
    await within("room_full and the offer", both);
    expect(heard).toEqual([{ type: "room_full" }, { type: "offer" }]);
    for (const one of [sender, socket]) one.close();
    await server.metricBecomes("nt_peers_active", (peers) => peers === 0);
  }
});

test("browserWSWithReconnect comes back by itself and meets its peer again", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B");
  const { socket: a, sockets } = connected(`${server.ws}/ws?appID=${appId}&side=A`);
  try {
    expect(await nextOf(a)).toEqual({ type: "room_full" });
    expect(await b.next()).toEqual({ type: "room_full" });
    sockets[0]?.terminate();
    expect(await nextOf(a)).toEqual({ type: "room_full" });
    expect(await b.next()).toEqual({ type: "room_full" });
    expect(sockets.length).toBe(2);
  } finally {
    a.close();
  }
});

async function mailboxes(server: { readonly ws: string }, b: Partial<MailboxOptions> = {}) {
  const room = crypto.randomUUID();
  const open = (side: "A" | "B", more: Partial<MailboxOptions> = {}) =>
    PublishedMailbox.open(server.ws, { room, side, ...more });
  return {
    a: () => open("A"),
    b: (more: Partial<MailboxOptions> = {}) => open("B", { ...b, ...more }),
  };
}

const numbered = (from: string, count: number, first = 1) =>
  Array.from({ length: count }, (_, i) => ({ type: "chunk", from, n: first + i }));

test("mail sent before the other side ever came arrives in order, first one included", async () => {
  await using server = await testServer();
  const open = await mailboxes(server);
  await using a = await open.a();
  for (const message of numbered("A", 200)) a.send(message);
  await using b = await open.b();
  expect(await b.nextOnes(201)).toEqual([{ type: "room_full" }, ...numbered("A", 200)]);
});

test("mail goes both ways, exactly once, with bytes and unicode as they were", async () => {
  await using server = await testServer();
  const open = await mailboxes(server, { sessionId: "b-1" });
  await using a = await open.a();
  await using b = await open.b();
  expect(await a.next()).toEqual({ type: "room_full" });
  expect(await b.next()).toEqual({ type: "room_full" });

  for (const message of numbered("A", 100)) a.send(message);
  for (const message of numbered("B", 100)) b.send(message);
  const odd = { type: "odd", text: '"\\ \u2028 😀 \ud800', ct: new Uint8Array([0, 1, 254, 255]) };
  a.send(odd);
  a.send({ type: "end" });
  b.send({ type: "end" });
  expect(await b.nextOnes(102)).toEqual([...numbered("A", 100), odd, { type: "end" }]);
  expect(await a.nextOnes(101)).toEqual([...numbered("B", 100), { type: "end" }]);
});

test("mail that was delivered is acknowledged: nothing is kept", async () => {
  await using server = await testServer();
  const open = await mailboxes(server);
  await using a = await open.a();
  await using b = await open.b();
  a.send({ type: "one" });
  b.send({ type: "two" });
  expect(await a.nextOnes(2)).toEqual([{ type: "room_full" }, { type: "two" }]);
  expect(await b.nextOnes(2)).toEqual([{ type: "room_full" }, { type: "one" }]);
  // Its acknowledgement was sent before this answer is read.
  a.send({ type: "three" });
  b.send({ type: "four" });
  await Promise.all([a.next(), b.next()]);
  expect(await server.metric("nt_mails")).toBeLessThanOrEqual(2);
});

test("the application's next transport gets what came after the first cut, and nothing twice", async () => {
  await using server = await testServer();
  const open = await mailboxes(server, { sessionId: "b-1" });
  await using a = await open.a();
  await using first = await open.b();
  expect(await first.next()).toEqual({ type: "room_full" });
  for (const message of numbered("A", 2)) a.send(message);
  expect(await first.nextOnes(2)).toEqual(numbered("A", 2));

  await first.cut();
  for (const message of numbered("A", 3, 3)) a.send(message);
  await using second = await open.b({ deliveredUpTo: 2 });
  expect(await second.nextOnes(4)).toEqual([{ type: "room_full" }, ...numbered("A", 3, 3)]);
});

test("the zombie that a cut leaves behind does not keep its own client out", async () => {
  await using server = await testServer();
  const open = await mailboxes(server, { sessionId: "b-1" });
  await using a = await open.a();
  await using zombie = await open.b();
  expect(await zombie.next()).toEqual({ type: "room_full" });
  await zombie.cut();
  await zombie.reconnected();
  const full = { type: "room_full" };
  // Of the first transport, and of its zombie, which has the seat by then.
  expect(await a.nextOnes(2)).toEqual([full, full]);
  a.send({ type: "after the cut" });

  await using heir = await open.b();
  expect(await heir.nextOnes(2)).toEqual([{ type: "room_full" }, { type: "after the cut" }]);
  heir.send({ type: "answer" });
  expect(await a.nextOnes(2)).toEqual([full, { type: "answer" }]);
});

import { expect, test } from "bun:test";
import {
  type ClientEvents,
  type Fault,
  type RelayFrame,
  type ServerFrame,
  SignalingClient,
  type Welcome,
} from "../../src/client/client.ts";
import {
  type FieldsOf,
  type RelayType,
  relayTypes,
  type ServerFrameType,
  serverFrames,
} from "../../src/protocol/frames.ts";

// The client is one file to copy, so it writes the server's frames down once more. What does not
// agree with src/protocol/frames.ts does not compile here.

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
/** The client knows exactly these fields, and expects nothing in them that the server doesn't send. */
type Agrees<Client, Server> = [Client] extends [Server] ? Same<keyof Client, keyof Server> : false;
type Received<T extends ServerFrameType> = Omit<Extract<ServerFrame, { type: T }>, "type">;

true satisfies Same<RelayFrame["type"], RelayType>;
true satisfies Same<ServerFrame["type"], RelayType | ServerFrameType>;
true satisfies Agrees<Welcome, FieldsOf<"welcome">>;
true satisfies Agrees<Fault, FieldsOf<"error">>;
true satisfies Agrees<Received<"deliver">, FieldsOf<"deliver">>;
true satisfies Agrees<Received<"stored">, FieldsOf<"stored">>;
true satisfies Agrees<Received<"minted">, FieldsOf<"minted">>;
true satisfies Agrees<Received<"redeemed">, FieldsOf<"redeemed">>;
true satisfies Agrees<Received<"peer_joined">, FieldsOf<"peer_joined">>;
true satisfies Agrees<Received<"draining">, FieldsOf<"draining">>;

/** A client whose server is this test, and a way to send it frames. */
function connected(on: Partial<ClientEvents>) {
  const sockets: WebSocket[] = [];
  class Socket extends EventTarget {
    onmessage: ((event: { data: string }) => void) | null = null;
    constructor() {
      super();
      sockets.push(this as unknown as WebSocket);
    }
    send(): void {}
    close(): void {}
  }
  const client = new SignalingClient({
    url: "http://server.test",
    appId: crypto.randomUUID(),
    side: "A",
    on,
    WebSocket: Socket as unknown as typeof WebSocket,
  });
  const hear = (frame: object) =>
    sockets[0]?.onmessage?.({ data: JSON.stringify(frame) } as MessageEvent);
  return { hear, [Symbol.dispose]: () => client.close() };
}

test("the client hands on every frame that the server relays, as it came", () => {
  const heard: RelayFrame[] = [];
  using client = connected({ relay: (frame) => heard.push(frame) });
  const sent = relayTypes.map((type) => ({ type, field: [type] }));
  for (const frame of sent) client.hear(frame);
  expect(heard as object[]).toEqual(sent);
});

test("every frame of the server's own that a client may wait for becomes an event", () => {
  const heard: string[] = [];
  using client = connected({
    welcome: () => heard.push("welcome"),
    peerJoined: () => heard.push("peer_joined"),
    peerLeft: () => heard.push("peer_left"),
    mail: () => heard.push("deliver"),
    error: () => heard.push("error"),
    relay: () => heard.push("a relayed one"),
  });
  for (const [type, { examples }] of Object.entries(serverFrames)) {
    for (const fields of examples) client.hear({ type, ...fields });
  }
  expect(heard).toEqual(["welcome", "peer_joined", "deliver", "error", "peer_left"]);
});

test("a frame of a type that the client does not know is ignored", () => {
  using client = connected({
    relay: () => expect.unreachable(),
    error: () => expect.unreachable(),
  });
  client.hear({ type: "of_the_future" });
});

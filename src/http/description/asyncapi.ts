import { z } from "zod";
import { version } from "../../base/version.ts";
import {
  deliveredFrame,
  helloFrame,
  sendFrame,
  telemetryFrame,
  v2,
} from "../../signaling/protocol.ts";
import { jsonSchema } from "./json-schema.ts";
import {
  deliverFrame,
  drainingFrame,
  errorFrame,
  peerJoinedFrame,
  peerLeftFrame,
  roomFullFrame,
  storedFrame,
  welcomeFrame,
} from "./server-frames.ts";

/** One kind of frame, as the document tells of it and a test sends or meets it. */
export interface FrameKind {
  readonly summary: string;
  readonly schema: z.ZodType;
  readonly examples: readonly { readonly type: string; readonly [field: string]: unknown }[];
}

/** A relayed frame is the clients' own business but for its type. */
function relayed(type: string): z.ZodType {
  return z.looseObject({ type: z.literal(type) });
}

/** What a schema of the protocol reads, with the type by which it was chosen. */
function typed(type: string, schema: z.ZodObject): z.ZodType {
  return z.object({ type: z.literal(type), ...schema.shape });
}

export const fromClient = {
  offer: {
    summary: "To the other side, byte for byte",
    schema: relayed("offer"),
    examples: [{ type: "offer", sdp: "v=0\r\n" }],
  },
  answer: {
    summary: "To the other side, byte for byte",
    schema: relayed("answer"),
    examples: [{ type: "answer", sdp: "v=0\r\n" }],
  },
  ice: {
    summary: "To the other side, byte for byte",
    schema: relayed("ice"),
    examples: [{ type: "ice", candidate: null }],
  },
  sender_ready: {
    summary: "To the other side, byte for byte",
    schema: relayed("sender_ready"),
    examples: [{ type: "sender_ready" }],
  },
  hello: {
    summary: "Drops mail up to deliveredUpTo, then delivers what is stored",
    schema: typed("hello", helloFrame),
    examples: [{ type: "hello", deliveredUpTo: 0 }, { type: "hello" }],
  },
  send: {
    summary: "Puts a payload into the mailbox of a side; id with nt.v2 alone",
    schema: typed("send", sendFrame),
    examples: [
      { type: "send", to: "B", payload: "any JSON value" },
      { type: "send", to: "A", payload: { to: "oneself" }, id: "1f3a" },
    ],
  },
  delivered: {
    summary: "Acknowledges mail up to a seq; seq is another name for upTo",
    schema: typed("delivered", deliveredFrame),
    examples: [{ type: "delivered", upTo: 1 }],
  },
  telemetry: {
    summary: "Tells how the peer connection went: ice-connected or ice-failed",
    schema: typed("telemetry", telemetryFrame),
    examples: [{ type: "telemetry", event: "ice-connected", mode: "direct" }],
  },
} as const satisfies Record<string, FrameKind>;

export const fromServer = {
  room_full: {
    summary: "Both sides are there; again each time one of them arrives anew",
    schema: roomFullFrame,
    examples: [{ type: "room_full" }],
  },
  deliver: {
    summary: "Mail",
    schema: deliverFrame,
    examples: [{ type: "deliver", seq: 1, from: "A", payload: "any JSON value" }],
  },
  welcome: {
    summary: `${v2}: the seat is taken`,
    schema: welcomeFrame,
    examples: [
      { type: "welcome", side: "A", peer: false, heartbeatMs: 20_000, maxMessageBytes: 1_048_576 },
    ],
  },
  peer_joined: {
    summary: `${v2}: the other side came`,
    schema: peerJoinedFrame,
    examples: [{ type: "peer_joined" }],
  },
  peer_left: {
    summary: `${v2}: the other side went`,
    schema: peerLeftFrame,
    examples: [{ type: "peer_left" }],
  },
  stored: {
    summary: `${v2}: mail with this id is stored`,
    schema: storedFrame,
    examples: [{ type: "stored", id: "1f3a", seq: 1 }],
  },
  error: {
    summary: `${v2}: a frame was not used`,
    schema: errorFrame,
    examples: [{ type: "error", code: "peer_absent", detail: "The other side is not there." }],
  },
  draining: {
    summary: `${v2}: the server is about to go`,
    schema: drainingFrame,
    examples: [{ type: "draining", retryAfterMs: 1000 }],
  },
} as const satisfies Record<string, FrameKind>;

/** Who connects: the query of the upgrade. */
const query = z.object({
  appID: z.uuid().describe("The room, in any form of a UUID"),
  side: z.enum(["A", "B", "a", "b"]),
  sid: z.string().max(256).optional().describe("The same non-empty sid on a new socket takes over"),
});

/** The frames of the WebSocket as an AsyncAPI 3 document. */
export function asyncApi(): object {
  return {
    asyncapi: "3.0.0",
    info: {
      title: "nt-signal",
      version,
      description:
        "The server that two WebRTC peers meet at: what crosses the WebSocket. Types are compared " +
        `without case. Clients that offer the subprotocol ${v2} are told more. The HTTP calls are ` +
        "told by /openapi.json.",
      license: { name: "Apache-2.0" },
    },
    defaultContentType: "application/json",
    servers: {
      here: {
        host: "{host}",
        protocol: "wss",
        variables: { host: { default: "localhost:1234", description: "Where this came from" } },
      },
    },
    channels: {
      room: {
        address: "/ws",
        title: "One side of a room",
        messages: { ...messages(fromClient), ...messages(fromServer) },
        bindings: { ws: { method: "GET", query: jsonSchema(query), bindingVersion: "0.1.0" } },
      },
    },
    operations: {
      take: operation("receive", "What a client may send", fromClient),
      tell: operation("send", "What the server sends", fromServer),
    },
  };
}

function messages(kinds: Readonly<Record<string, FrameKind>>): object {
  return Object.fromEntries(
    Object.entries(kinds).map(([name, { summary, schema, examples }]) => [
      name,
      {
        name,
        summary,
        payload: jsonSchema(schema),
        examples: examples.map((payload) => ({ payload })),
      },
    ]),
  );
}

function operation(
  action: "receive" | "send",
  summary: string,
  kinds: Readonly<Record<string, FrameKind>>,
): object {
  return {
    action,
    summary,
    channel: { $ref: "#/channels/room" },
    messages: Object.keys(kinds).map((name) => ({ $ref: `#/channels/room/messages/${name}` })),
  };
}

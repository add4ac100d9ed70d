import { z } from "zod/mini";
import { version } from "../../base/version.ts";
import {
  type ClientFrame,
  clientFrames,
  described,
  type ServerFrame,
  serverFrames,
  v2,
} from "../../protocol/frames.ts";
import { jsonSchema } from "./json-schema.ts";

/** One kind of frame, as the document describes it and a test sends or receives it. */
export interface FrameKind {
  readonly summary: string;
  readonly schema: z.ZodMiniType;
  readonly examples: readonly { readonly type: string; readonly [field: string]: unknown }[];
}

/** Mail has two names. */
const mailType = described(
  z.enum(["deliver", "send"]),
  "deliver for clients with a sid parameter, else send",
);

export const fromClient = kinds(clientFrames, clientKind);
export const fromServer = kinds(serverFrames, serverKind);

function kinds<F extends { readonly examples: readonly object[] }>(
  frames: Readonly<Record<string, F>>,
  kindOf: (type: string, frame: F) => Omit<FrameKind, "examples">,
): Readonly<Record<string, FrameKind>> {
  return Object.fromEntries(
    Object.entries(frames).map(([type, frame]) => {
      const examples = frame.examples.map((fields) => ({ type, ...fields }));
      return [type, { ...kindOf(type, frame), examples }];
    }),
  );
}

function clientKind(name: string, { does, schema }: ClientFrame) {
  const type = z.literal(name);
  return {
    summary: does,
    schema: schema ? z.object({ type, ...schema.shape }) : z.looseObject({ type }),
  };
}

function serverKind(name: string, { when, isV2, fields }: ServerFrame) {
  const type = name === "deliver" ? mailType : z.literal(name);
  return { summary: isV2 ? `${v2}: ${when}` : when, schema: z.strictObject({ type, ...fields }) };
}

/** The query of the upgrade. */
const query = z.object({
  appID: described(z.uuid(), "The room, in any form of a UUID"),
  side: z.enum(["A", "B", "a", "b"]),
  sid: described(
    z.optional(z.string().check(z.maxLength(256))),
    "The same non-empty sid on a new socket takes over",
  ),
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
        `without case. Clients that offer the subprotocol ${v2} get more frames. The HTTP calls ` +
        "are described by /openapi.json.",
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
      receiveFrame: operation("receive", "What a client may send", fromClient),
      sendFrame: operation("send", "What the server sends", fromServer),
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

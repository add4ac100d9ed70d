import { z } from "zod";
import { type AppId, parseAppId, parseSide, type Side } from "../base/ids.ts";

/**
 * Every frame that crosses the socket. A conversation, side A first; what is marked * goes only to
 * clients that offered the subprotocol `nt.v2`:
 *
 *     A → server     (upgrade)
 *     server → A     welcome *                    A has its seat
 *     B → server     (upgrade)
 *     server → A, B  room_full, peer_joined *     both are there
 *     A → B          offer, B → A answer, …       relayed, byte for byte
 *     A → server     send {to, payload, id?}      stored in B's mailbox
 *     server → A     stored {id, seq} *
 *     B → server     hello {deliveredUpTo?}       asks for what is stored
 *     server → B     deliver {seq, from, payload}
 *     B → server     delivered {upTo}             dropped from the mailbox
 *     A → server     telemetry {event, …}         counted
 *     A → server     ping *                       asks whether the server can still be reached
 *     server → A     pong *
 *     server → A     error {code, detail, id?} *  a frame was not used
 *     server → A     peer_left *                  B is gone
 *     server → A     draining {retryAfterMs} *    then the socket is closed: closes.ts
 *
 * A socket of `nt.v2` that was opened without a room asks for one first:
 *
 *     A → server     mint {ttl?}                  or redeem {code}, or join {appID, side}
 *     server → A     minted {code, appID, …}      or redeemed {appID, …}; then the welcome, as above
 *     server → A     error {code, detail}         refused, as HTTP does by a problem: try again
 *
 * Dispatch, metric labels, the engine's relay types, the AsyncAPI document and the client's types
 * follow from these two tables or are compared with them. A relayed type is one line here.
 */

/** The WebSocket subprotocol by which a client asks for the richer dialect. */
export const v2 = "nt.v2";

/** Seqs and watermarks stay exact in a double, with space to go on counting. */
export const maxWatermark = 2 ** 53 - 2 ** 32;
export const maxMailIdLength = 64;

// ---- client to server ----

export interface ClientFrame {
  /** What the frame provokes. */
  readonly does: string;
  /** The fields beside `type` that are read. Others are ignored. Undefined: the frame is relayed. */
  readonly schema: z.ZodObject | undefined;
  /** Fields that a client may send, without the type. */
  readonly examples: readonly object[];
}

/** A relayed frame is the clients' own business but for its type. */
function relayed(example: object = {}) {
  const does = "To the other side, byte for byte";
  return { does, schema: undefined, examples: [example] };
}

/** Not `min` and `max`: those look at the `length` of whatever came, which may throw. */
const mailId = new RegExp(`^[^]{1,${maxMailIdLength}}$`);
/** What a client is told of a field that is wrong follows the field's name. */
const text = z.string("must be a string");
const wholeNumber = z
  .number("must be a whole number")
  .int("must be a whole number")
  .min(0, "must be 0 or more");
/** Whatever was sent may be acknowledged; what was not is clamped away. */
const anySeq = wholeNumber.max(Number.MAX_SAFE_INTEGER, "must be less than 2^53");
/** A side as clients name it: in either case. */
export const anySide = z
  .string("must be A or B")
  .transform((text, ctx): Side => {
    const parsed = parseSide(text);
    if (parsed !== undefined) return parsed;
    ctx.addIssue({ code: "custom", message: "must be A or B" });
    return z.NEVER;
  })
  .meta({ enum: ["A", "B", "a", "b"] });

/** A room as clients name it: a UUID in any of its forms. */
export const anyAppId = z
  .string("must be a UUID")
  .transform((text, ctx): AppId => {
    const parsed = parseAppId(text);
    if (parsed !== undefined) return parsed;
    ctx.addIssue({ code: "custom", message: "must be a UUID" });
    return z.NEVER;
  })
  .meta({ format: "uuid" });
export const maxSidLength = 256;
const anySid = text
  .refine((sid) => sid.length <= maxSidLength, `must have at most ${maxSidLength} characters`)
  .refine((sid) => sid.isWellFormed(), "must be well-formed Unicode")
  .optional();

export const clientFrames = {
  offer: relayed({ sdp: "v=0\r\n" }),
  answer: relayed({ sdp: "v=0\r\n" }),
  ice: relayed({ candidate: null }),
  sender_ready: relayed(),
  hello: {
    does: "Drops mail up to deliveredUpTo, then delivers what is stored",
    schema: z.object({
      deliveredUpTo: wholeNumber.max(maxWatermark, "must be at most 2^53 - 2^32").optional(),
    }),
    examples: [{ deliveredUpTo: 0 }, {}],
  },
  send: {
    does: "Puts a payload into the mailbox of a side; id with nt.v2 alone",
    schema: z.object({
      to: anySide,
      payload: z.unknown().refine((value) => value !== undefined, "is missing"),
      /** Sending the same id again does not store twice. */
      id: text
        .regex(mailId, `must have 1 to ${maxMailIdLength} characters`)
        // Half of a surrogate pair has no UTF-8: in Redis all ids that differ in such halves are one.
        .refine((id) => id.isWellFormed(), "must be well-formed Unicode")
        .optional(),
    }),
    examples: [
      { to: "B", payload: "any JSON value" },
      { to: "A", payload: { to: "oneself" }, id: "1f3a" },
    ],
  },
  delivered: {
    does: "Acknowledges mail up to a seq; seq is another name for upTo",
    schema: z
      .object({ upTo: anySeq.optional(), seq: anySeq.optional() })
      .refine((frame) => frame.upTo !== undefined || frame.seq !== undefined, "upTo is missing"),
    examples: [{ upTo: 1 }],
  },
  telemetry: {
    does: "Reports how the peer connection went: ice-connected or ice-failed",
    schema: z.object({
      event: text,
      mode: text.optional(),
      reason: text.optional(),
    }),
    examples: [{ event: "ice-connected", mode: "direct" }],
  },
  mint: {
    does: "Makes a room and its code, and takes side A of it; on a socket without a room",
    schema: z.object({
      ttl: z
        .unknown()
        .optional()
        .describe("Seconds that the code lives; ignored if not a positive number"),
      sid: anySid,
    }),
    examples: [{}, { ttl: 60, sid: "3f1c" }],
  },
  redeem: {
    does: "Takes side B of the room of a code; on a socket without a room",
    schema: z.object({ code: text.regex(/^[0-9]{4,8}$/, "must have 4 to 8 digits"), sid: anySid }),
    examples: [{ code: "2802", sid: "3f1c" }],
  },
  join: {
    does: "Takes a side of a room that is known; on a socket without a room",
    schema: z.object({ appID: anyAppId, side: anySide, sid: anySid }),
    examples: [{ appID: "0b1d7c1e-3f5a-4d6b-8c9d-2e4f6a8b0c1d", side: "A", sid: "3f1c" }],
  },
  ping: {
    does: "Asks for a pong, which a web page can see; with nt.v2 alone",
    schema: z.object({}),
    examples: [{}],
  },
} as const satisfies Record<string, ClientFrame>;

type ClientFrameType = keyof typeof clientFrames;
export type RelayType = {
  [T in ClientFrameType]: (typeof clientFrames)[T]["schema"] extends undefined ? T : never;
}[ClientFrameType];

/** By these a socket without a room asks for one. */
export type RoomRequest = "mint" | "redeem" | "join";
export function isRoomRequest(type: FrameType): type is RoomRequest {
  return type === "mint" || type === "redeem" || type === "join";
}

const clientFrameTypes = Object.keys(clientFrames) as readonly ClientFrameType[];
export const relayTypes = clientFrameTypes.filter(
  (type): type is RelayType => clientFrames[type].schema === undefined,
);

/** What is counted apart; `other` is every type the protocol does not know. */
export const frameTypes = [...clientFrameTypes, "other"] as const;
export type FrameType = (typeof frameTypes)[number];

/** A sentence for the client. */
export const knownTypes = `The type is none of ${clientFrameTypes.join(", ")}.`;

const typeByName = new Map<string, FrameType>(clientFrameTypes.map((type) => [type, type]));

/** The one JSON object that `text` is, or undefined. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** Which fields are wrong, and how. Never the values: they may be secrets. */
export function faultsIn(type: string, { issues }: z.ZodError): string {
  const faults = issues.map(({ path, message }) =>
    [path.join("."), message].filter(Boolean).join(" "),
  );
  return `${type}: ${faults.join("; ")}.`;
}

/** A frame's type, compared without case; `other` when the protocol has no such type. */
export function typeOf(frame: Record<string, unknown>): FrameType {
  const name = frame["type"];
  if (typeof name !== "string") return "other";
  return typeByName.get(name) ?? typeByName.get(name.toLowerCase()) ?? "other";
}

// ---- server to client ----

export interface ServerFrame {
  /** When it is sent. */
  readonly when: string;
  /** Only to clients that offered `nt.v2`. */
  readonly isV2: boolean;
  /** The fields beside `type`. Strict: a field that is not here is a mistake. */
  readonly fields: z.ZodRawShape;
  readonly examples: readonly object[];
}

const side = z.enum(["A", "B"]);
const seq = z.int().min(1);

/** As RTCPeerConnection takes it (W3C WebRTC, section 4.2.4). */
export const iceServer = z.strictObject({
  urls: z.union([z.string(), z.array(z.string())]),
  username: z.string().optional(),
  credential: z.string().optional(),
});

const entered = {
  appID: z.uuid(),
  side,
  expiresAt: z.iso.datetime().describe("When the code ends, by the server's clock"),
  now: z.iso.datetime().describe("The server's clock"),
};
const enteredExample = {
  appID: "0b1d7c1e-3f5a-4d6b-8c9d-2e4f6a8b0c1d",
  expiresAt: "2026-01-01T12:10:00.000Z",
  now: "2026-01-01T12:00:00.000Z",
};

/** Why a socket gets no room: the codes of the same problems over HTTP. */
export const roomRefusals = [
  "client_full",
  "code_gone",
  "code_withdrawn",
  "codes_full",
  "draining",
  "internal",
  "malformed",
  "rate_limited",
  "rooms_full",
  "shared_misses",
  "store_unreachable",
  "too_many_misses",
  "too_many_rooms",
] as const;
export type RoomRefusal = (typeof roomRefusals)[number];

export const serverFrames = {
  minted: {
    when: "A room and its code were made; the welcome follows",
    isV2: true,
    fields: { code: z.string(), ...entered },
    examples: [{ code: "2802", side: "A", ...enteredExample }],
  },
  redeemed: {
    when: "The code was redeemed; the welcome follows",
    isV2: true,
    fields: entered,
    examples: [{ side: "B", ...enteredExample }],
  },
  welcome: {
    when: "The seat is taken",
    isV2: true,
    fields: {
      side,
      peer: z.boolean().describe("The other side is there"),
      heartbeatMs: z.int(),
      maxMessageBytes: z.int(),
      room: z.string().optional().describe("The room in the log, where that names rooms"),
      iceServers: z.array(iceServer).optional(),
    },
    examples: [{ side: "A", peer: false, heartbeatMs: 20_000, maxMessageBytes: 1_048_576 }],
  },
  room_full: {
    when: "Both sides are there; again each time one of them arrives anew",
    isV2: false,
    fields: {},
    examples: [{}],
  },
  peer_joined: {
    when: "The other side came",
    isV2: true,
    fields: {
      iceServers: z
        .array(iceServer)
        .optional()
        .describe("To who was welcomed before its code was redeemed"),
    },
    examples: [{}],
  },
  stored: {
    when: "Mail with this id is stored",
    isV2: true,
    fields: { id: z.string(), seq },
    examples: [{ id: "1f3a", seq: 1 }],
  },
  /** Called `send` for clients without a sid parameter. */
  deliver: {
    when: "Mail",
    isV2: false,
    fields: { seq, from: side, payload: z.unknown().describe("As it was sent") },
    examples: [{ seq: 1, from: "A", payload: "any JSON value" }],
  },
  error: {
    when: "A frame was not used",
    isV2: true,
    fields: {
      code: z.enum([
        "bad_json",
        "bad_field",
        "unknown_type",
        "mailbox_full",
        "mail_share",
        "hold_share",
        "peer_absent",
        "has_room",
        "no_room",
        ...roomRefusals,
      ]),
      detail: z.string(),
      id: z.string().optional(),
      retryAfterMs: z.number().optional().describe("When to ask for a room again"),
    },
    examples: [{ code: "peer_absent", detail: "The other side is not there." }],
  },
  peer_left: { when: "The other side went", isV2: true, fields: {}, examples: [{}] },
  pong: { when: "A ping came", isV2: true, fields: {}, examples: [{}] },
  draining: {
    when: "The server is about to go: connect again after retryAfterMs",
    isV2: true,
    fields: { retryAfterMs: z.number().min(0) },
    examples: [{ retryAfterMs: 1000 }],
  },
} as const satisfies Record<string, ServerFrame>;

export type ServerFrameType = keyof typeof serverFrames;
/** The fields of a frame of the server's, beside its type. */
export type FieldsOf<T extends ServerFrameType> = Immutable<
  z.output<z.ZodObject<(typeof serverFrames)[T]["fields"]>>
>;
type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

/** Stable names for what went wrong with a frame of the client's. */
export type FrameFault = FieldsOf<"error">["code"];

/** The text of a frame; `deliver` has its own, below. */
export function serverFrame<T extends Exclude<ServerFrameType, "deliver">>(
  type: T,
  fields: FieldsOf<T>,
): string {
  return JSON.stringify({ type, ...fields });
}

export const roomFull = serverFrame("room_full", {});
export const peerJoined = serverFrame("peer_joined", {});
export const peerLeft = serverFrame("peer_left", {});
export const pong = serverFrame("pong", {});

/** `payload` is JSON text and goes out exactly as it is. */
export function mailFrame(
  type: "deliver" | "send",
  seq: number,
  from: Side,
  payload: string,
): string {
  return `{"type":"${type}","seq":${seq},"from":"${from}","payload":${payload}}`;
}

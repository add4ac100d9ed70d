import { z } from "zod/mini";
import { codePattern, parseAppId, parseSide, type Side } from "../base/ids.ts";

/**
 * Every frame that crosses the socket. A conversation, side A first; frames marked * are only sent to
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
 *     server → A     error {code, detail, id?} *  a frame was ignored
 *     server → A     peer_left *                  B left
 *     server → A     draining {retryAfterMs} *    then the socket is closed: closes.ts
 *
 * A socket of `nt.v2` that was opened without a room asks for one first:
 *
 *     A → server     mint {ttl?}                  or redeem {code}, or join {appID, side}
 *     server → A     minted {code, appID, …}      or redeemed {appID, …}; then the welcome, as above
 *     server → A     error {code, detail}         refused, with the code of HTTP's problem: try again
 *
 * Dispatch, metric labels, the engine's relay types, the AsyncAPI document and the client's types
 * follow from these two tables or are compared with them. A relayed type is one line here.
 */

/** The WebSocket subprotocol with which a client asks for the frames marked * above. */
export const v2 = "nt.v2";

/** Below 2⁵³, so that seqs after the highest watermark are exact in a double too. */
const maxWatermark = 2 ** 53 - 2 ** 32;
export const maxMailIdLength = 64;

// ---- client to server ----

export interface ClientFrame {
  /** What the server does with it. */
  readonly does: string;
  /** The fields beside `type` that are read. Others are ignored. Undefined: the frame is relayed. */
  readonly schema: z.ZodMiniObject | undefined;
  /** Fields that a client may send, without the type. */
  readonly examples: readonly object[];
}

/** For the API descriptions. */
export function described<S extends z.ZodMiniType>(schema: S, description: string): S {
  z.globalRegistry.add(schema, { description });
  return schema;
}

/** The server reads only the type of a relayed frame. */
function relayed(example: object = {}) {
  const does = "To the other side, byte for byte";
  return { does, schema: undefined, examples: [example] };
}

/** Not zod's `min` and `max`: they read `length` of values that are not text, which may throw. */
const mailId = new RegExp(`^[^]{1,${maxMailIdLength}}$`);
/** Messages follow the name of the wrong field. */
const text = z.string("must be a string");
const wholeNumber = z.int("must be a whole number").check(z.gte(0, "must be 0 or more"));
/** Acknowledging more than was sent is allowed: the rest has no effect. */
const anySeq = wholeNumber.check(z.lte(Number.MAX_SAFE_INTEGER, "must be less than 2^53"));
/** A text in any of the forms that `parse` understands. */
function anyForm<T>(parse: (text: string) => T | undefined, fault: string) {
  const transform = z.transform((text: string, ctx): T => {
    const parsed = parse(text);
    if (parsed !== undefined) return parsed;
    ctx.issues.push({ code: "custom", message: fault, input: "" });
    return z.NEVER;
  });
  return z.pipe(z.string(fault), transform);
}
export const anySide = anyForm(parseSide, "must be A or B").register(z.globalRegistry, {
  enum: ["A", "B", "a", "b"],
});
export const anyAppId = anyForm(parseAppId, "must be a UUID").register(z.globalRegistry, {
  format: "uuid",
});
export const maxSidLength = 256;
const wellFormed = z.refine<string>((text) => text.isWellFormed(), "must be well-formed Unicode");
const shortSid = z.refine<string>(
  (sid) => sid.length <= maxSidLength,
  `must have at most ${maxSidLength} characters`,
);
const anySid = z.optional(text.check(shortSid, wellFormed));

export const clientFrames = {
  offer: relayed({ sdp: "v=0\r\n" }),
  answer: relayed({ sdp: "v=0\r\n" }),
  ice: relayed({ candidate: null }),
  sender_ready: relayed(),
  hello: {
    does: "Drops mail up to deliveredUpTo, then delivers what is stored",
    schema: z.object({
      deliveredUpTo: z.optional(
        wholeNumber.check(z.lte(maxWatermark, "must be at most 2^53 - 2^32")),
      ),
    }),
    examples: [{ deliveredUpTo: 0 }, {}],
  },
  send: {
    does: "Puts a payload into the mailbox of a side; id only with nt.v2",
    schema: z.object({
      to: anySide,
      payload: z.unknown().check(z.refine((value) => value !== undefined, "is missing")),
      /** Mail with the same id is stored once. */
      id: z.optional(
        // Half a surrogate pair has no UTF-8: ids that differ only there would be the same in Redis.
        text.check(z.regex(mailId, `must have 1 to ${maxMailIdLength} characters`), wellFormed),
      ),
    }),
    examples: [
      { to: "B", payload: "any JSON value" },
      { to: "A", payload: { to: "oneself" }, id: "1f3a" },
    ],
  },
  delivered: {
    does: "Acknowledges mail up to a seq; seq is another name for upTo",
    schema: z
      .object({ upTo: z.optional(anySeq), seq: z.optional(anySeq) })
      .check(
        z.refine(({ upTo, seq }) => upTo !== undefined || seq !== undefined, "upTo is missing"),
      ),
    examples: [{ upTo: 1 }],
  },
  telemetry: {
    does: "Reports the outcome of the peer connection: ice-connected or ice-failed",
    schema: z.object({
      event: text,
      mode: z.optional(text),
      reason: z.optional(text),
    }),
    examples: [{ event: "ice-connected", mode: "direct" }],
  },
  mint: {
    does: "Makes a room and its code, and takes side A of it; on a socket without a room",
    schema: z.object({
      ttl: described(
        z.optional(z.unknown()),
        "Seconds that the code lives; ignored if not a positive number",
      ),
      sid: anySid,
    }),
    examples: [{}, { ttl: 60, sid: "3f1c" }],
  },
  redeem: {
    does: "Takes side B of the room of a code; on a socket without a room",
    schema: z.object({
      code: text.check(z.regex(codePattern, "must have 4 to 8 digits")),
      sid: anySid,
    }),
    examples: [{ code: "2802", sid: "3f1c" }],
  },
  join: {
    does: "Takes a side of the room with this appID; on a socket without a room",
    schema: z.object({ appID: anyAppId, side: anySide, sid: anySid }),
    examples: [{ appID: "0b1d7c1e-3f5a-4d6b-8c9d-2e4f6a8b0c1d", side: "A", sid: "3f1c" }],
  },
  ping: {
    does: "Asks for a pong that a web page can see; only with nt.v2",
    schema: z.object({}),
    examples: [{}],
  },
} as const satisfies Record<string, ClientFrame>;

type ClientFrameType = keyof typeof clientFrames;
export type RelayType = {
  [T in ClientFrameType]: (typeof clientFrames)[T]["schema"] extends undefined ? T : never;
}[ClientFrameType];

/** With these a socket asks for its room. */
export type RoomRequest = "mint" | "redeem" | "join";
export function isRoomRequest(type: FrameType): type is RoomRequest {
  return type === "mint" || type === "redeem" || type === "join";
}

const clientFrameTypes = Object.keys(clientFrames) as readonly ClientFrameType[];
export const relayTypes = clientFrameTypes.filter(
  (type): type is RelayType => clientFrames[type].schema === undefined,
);

/** The types that are counted; `other` is every type that the protocol does not know. */
export const frameTypes = [...clientFrameTypes, "other"] as const;
export type FrameType = (typeof frameTypes)[number];

/** A sentence for the client. */
export const knownTypes = `The type must be one of ${clientFrameTypes.join(", ")}.`;

const typeByName = new Map<string, FrameType>(clientFrameTypes.map((type) => [type, type]));

/** Undefined unless `text` is one JSON object. */
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
export function faultsIn(type: string, { issues }: z.core.$ZodError): string {
  const faults = issues.map(({ path, message }) =>
    [path.join("."), message].filter(Boolean).join(" "),
  );
  return `${type}: ${faults.join("; ")}.`;
}

/** A frame's type, compared without case; `other` for types that the protocol does not know. */
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
  /** The fields beside `type`. Strict: other fields are an error. */
  readonly fields: z.core.$ZodShape;
  readonly examples: readonly object[];
}

const side = z.enum(["A", "B"]);
const seq = z.int().check(z.gte(1));

/** As RTCPeerConnection takes it (W3C WebRTC, section 4.2.4). */
export const iceServer = z.strictObject({
  urls: z.union([z.string(), z.array(z.string())]),
  username: z.optional(z.string()),
  credential: z.optional(z.string()),
});
export type IceServer = Immutable<z.output<typeof iceServer>>;

const entered = {
  appID: z.uuid(),
  side,
  expiresAt: described(z.iso.datetime(), "When the code ends, by the server's clock"),
  now: described(z.iso.datetime(), "The server's clock"),
};
const enteredExample = {
  appID: "0b1d7c1e-3f5a-4d6b-8c9d-2e4f6a8b0c1d",
  expiresAt: "2026-01-01T12:10:00.000Z",
  now: "2026-01-01T12:00:00.000Z",
};

/** Why a socket gets no room: the codes of the same problems over HTTP. */
const roomRefusals = [
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
      peer: described(z.boolean(), "The other side is there"),
      heartbeatMs: z.int(),
      maxMessageBytes: z.int(),
      room: described(z.optional(z.string()), "The room in the log, where that names rooms"),
      iceServers: z.optional(z.array(iceServer)),
    },
    examples: [{ side: "A", peer: false, heartbeatMs: 20_000, maxMessageBytes: 1_048_576 }],
  },
  room_full: {
    when: "Both sides are there; again each time one of them connects again",
    isV2: false,
    fields: {},
    examples: [{}],
  },
  peer_joined: {
    when: "The other side came",
    isV2: true,
    fields: {
      iceServers: described(
        z.optional(z.array(iceServer)),
        "Only for a client that was welcomed before its code was redeemed",
      ),
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
    fields: { seq, from: side, payload: described(z.unknown(), "As it was sent") },
    examples: [{ seq: 1, from: "A", payload: "any JSON value" }],
  },
  error: {
    when: "A frame was ignored, or a room refused",
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
      id: z.optional(z.string()),
      retryAfterMs: described(z.optional(z.number()), "When to ask for a room again"),
    },
    examples: [{ code: "peer_absent", detail: "The other side is not there." }],
  },
  peer_left: { when: "The other side left", isV2: true, fields: {}, examples: [{}] },
  pong: { when: "A ping came", isV2: true, fields: {}, examples: [{}] },
  draining: {
    when: "The server is about to stop: connect again after retryAfterMs",
    isV2: true,
    fields: { retryAfterMs: z.number().check(z.gte(0)) },
    examples: [{ retryAfterMs: 1000 }],
  },
} as const satisfies Record<string, ServerFrame>;

export type ServerFrameType = keyof typeof serverFrames;
/** The fields of a server's frame beside its type. */
export type FieldsOf<T extends ServerFrameType> = Immutable<
  z.output<z.ZodMiniObject<(typeof serverFrames)[T]["fields"]>>
>;
export type Immutable<T> = T extends object ? { readonly [K in keyof T]: Immutable<T[K]> } : T;

/** Why a client's frame was ignored, or a room refused: stable names. */
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

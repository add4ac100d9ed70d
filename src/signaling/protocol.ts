import { z } from "zod";
import { parseSide, type Side } from "../base/ids.ts";
import type { IceServer } from "../config/ice-formats.ts";
import { type FrameType, frameTypes } from "../telemetry/tally.ts";

/**
 * Every frame that crosses the socket. A conversation, side A first:
 *
 *     A → server   (upgrade)
 *     B → server   (upgrade)
 *     server → A,B {"type":"room_full"}
 *     A → B        {"type":"offer", …}         relayed as it came
 *     B → A        {"type":"answer", …}
 *     A ⇄ B        {"type":"ice", …}
 *     A → server   {"type":"send","to":"B","payload":"…"}
 *     B → server   {"type":"hello","deliveredUpTo":0}
 *     server → B   {"type":"deliver","seq":1,"from":"A","payload":"…"}
 *     B → server   {"type":"delivered","upTo":1}
 */

/** The WebSocket subprotocol by which a client asks for the richer dialect. */
export const v2 = "nt.v2";

/** Seqs and watermarks stay exact in a double, with space to go on counting. */
export const maxWatermark = 2 ** 53 - 2 ** 32;
export const maxMailIdLength = 64;
/** Not `min` and `max`: those look at the `length` of whatever came, which may throw. */
const mailId = new RegExp(`^[^]{1,${maxMailIdLength}}$`);

// ---- client to server ----

/** Whatever was sent may be acknowledged; what was not is clamped away. */
const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const watermark = z.number().int().min(0).max(maxWatermark);
const side = z
  .string()
  .transform((text, ctx): Side => {
    const parsed = parseSide(text);
    if (parsed !== undefined) return parsed;
    ctx.addIssue({ code: "custom", message: "must be A or B" });
    return z.NEVER;
  })
  .meta({ enum: ["A", "B", "a", "b"] });

/** Drops mail up to `deliveredUpTo`, then asks for what is stored. */
export const helloFrame = z.object({ deliveredUpTo: watermark.optional() });

/** Puts `payload`, any JSON value, into the mailbox of side `to`. */
export const sendFrame = z.object({
  to: side,
  payload: z.unknown().refine((value) => value !== undefined, "is missing"),
  /** `nt.v2` only: sending the same id again does not store twice. */
  id: z
    .string()
    .regex(mailId, `must have 1 to ${maxMailIdLength} characters`)
    // Half of a surrogate pair has no UTF-8: in Redis all ids that differ in such halves are one.
    .refine((id) => id.isWellFormed(), "must be well-formed Unicode")
    .optional(),
});

/** Acknowledges mail up to a seq; `seq` is another name for `upTo`. */
export const deliveredFrame = z
  .object({ upTo: seq.optional(), seq: seq.optional() })
  .refine((frame) => frame.upTo !== undefined || frame.seq !== undefined, "upTo is missing");

/** Says how the peer-to-peer connection went. */
export const telemetryFrame = z.object({
  event: z.string(),
  mode: z.string().optional(),
  reason: z.string().optional(),
});

const typeByName = new Map<string, FrameType>(
  frameTypes.filter((type) => type !== "other").map((type) => [type, type]),
);

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

/** A frame's type, compared without case; `other` when the protocol has no such type. */
export function typeOf(frame: Record<string, unknown>): FrameType {
  const name = frame["type"];
  if (typeof name !== "string") return "other";
  return typeByName.get(name) ?? typeByName.get(name.toLowerCase()) ?? "other";
}

// ---- server to client ----

/** To both sides, each time one arrives and the other is there. */
export const roomFull = '{"type":"room_full"}';

/** `type` is `deliver` for clients that came with a `sid` parameter, else `send`. */
export function mailFrame(
  type: "deliver" | "send",
  seq: number,
  from: Side,
  payload: string,
): string {
  return `{"type":"${type}","seq":${seq},"from":"${from}","payload":${payload}}`;
}

// What follows goes only to clients that offered `nt.v2`.

export interface Welcome {
  readonly side: Side;
  /** The other side is seated. */
  readonly peer: boolean;
  readonly heartbeatMs: number;
  readonly maxMessageBytes: number;
  readonly iceServers?: readonly IceServer[];
}

export function welcomeFrame(welcome: Welcome): string {
  return JSON.stringify({ type: "welcome", ...welcome });
}

export const peerJoined = '{"type":"peer_joined"}';
export const peerLeft = '{"type":"peer_left"}';

/** The server is about to go: connect again after `retryAfterMs`. */
export function drainingFrame(retryAfterMs: number): string {
  return JSON.stringify({ type: "draining", retryAfterMs });
}

export function storedFrame(id: string, seq: number): string {
  return JSON.stringify({ type: "stored", id, seq });
}

/** Stable names for what went wrong with a frame of the client's. */
export type FrameFault =
  | "bad_json"
  | "bad_field"
  | "mailbox_full"
  | "mail_share"
  | "hold_share"
  | "peer_absent";

export function errorFrame(code: FrameFault, detail: string, id?: string): string {
  return JSON.stringify({ type: "error", code, detail, ...(id === undefined ? {} : { id }) });
}

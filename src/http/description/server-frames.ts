import { z } from "zod";
import { iceServer } from "./answers.ts";

/** What the server sends over the socket. Strict: a field that is not here is a mistake. */

const side = z.enum(["A", "B"]);
const seq = z.int().min(1);

export const roomFullFrame = z.strictObject({ type: z.literal("room_full") });

export const deliverFrame = z.strictObject({
  type: z.enum(["deliver", "send"]).describe("deliver for clients with a sid parameter, else send"),
  seq,
  from: side,
  payload: z.unknown().describe("As it was sent"),
});

export const welcomeFrame = z.strictObject({
  type: z.literal("welcome"),
  side,
  peer: z.boolean().describe("The other side is there"),
  heartbeatMs: z.int(),
  maxMessageBytes: z.int(),
  iceServers: z.array(iceServer).optional(),
});

export const peerJoinedFrame = z.strictObject({ type: z.literal("peer_joined") });

export const peerLeftFrame = z.strictObject({ type: z.literal("peer_left") });

export const storedFrame = z.strictObject({ type: z.literal("stored"), id: z.string(), seq });

export const errorFrame = z.strictObject({
  type: z.literal("error"),
  code: z.enum([
    "bad_json",
    "bad_field",
    "mailbox_full",
    "mail_share",
    "hold_share",
    "peer_absent",
  ]),
  detail: z.string(),
  id: z.string().optional(),
});

export const drainingFrame = z.strictObject({
  type: z.literal("draining"),
  retryAfterMs: z.number().min(0),
});

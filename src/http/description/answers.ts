import { z } from "zod";
import { headerFaults } from "../../admission/clients.ts";
import { iceServer } from "../../protocol/frames.ts";

/** What each call answers when it succeeds. Strict: a field that is not here is a mistake. */

const appId = z.uuid();
const moment = z.iso.datetime().describe("RFC 3339, UTC, to the millisecond");
const code = z.string().regex(/^[0-9]{4,8}$/);

export const mintAnswer = z.strictObject({ code, appID: appId, expiresAt: moment });

export const redeemAnswer = z.strictObject({ appID: appId, expiresAt: moment });

export const iceAnswer = z.strictObject({
  iceServers: z.array(iceServer),
  expiresAt: moment.optional().describe("When the credentials in it end"),
});

export const whoamiAnswer = z.strictObject({
  address: z.string(),
  header: z.string().nullable().describe("The header of a trusted proxy that the address is from"),
  shared: z.boolean().describe("Everybody behind a proxy whose clients cannot be told apart"),
  fault: z
    .enum(headerFaults)
    .optional()
    .describe("Why, where the proxy is trusted: what its header lacks"),
  host: z
    .string()
    .nullable()
    .describe("The Host header, by which the server knows pages of its own"),
  room: z
    .string()
    .optional()
    .describe("The room of the appID in the log, where that names rooms (LOG_LEVEL=debug)"),
});

export const aliveAnswer = z.strictObject({ ok: z.literal(true) });

export const readyAnswer = z.strictObject({
  ready: z.literal(true),
  warning: z.string().optional().describe("What it refuses all the same"),
});

export const unreadyAnswer = z.strictObject({ ready: z.literal(false), reason: z.string() });

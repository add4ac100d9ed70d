import { z } from "zod";
import type { Format } from "./formats.ts";

/** An ICE server as a browser takes it (W3C WebRTC, section 4.2.4, RTCIceServer). */
export interface IceServer {
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

/** `host`, `host:port` or `[IPv6]:port` after the scheme (RFC 7064 section 3.1, RFC 7065). */
const authority = String.raw`(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?`;
const stunUrl = new RegExp(`^stuns?:${authority}$`, "i");
const turnUrl = new RegExp(String.raw`^turns?:${authority}(?:\?transport=(?:udp|tcp))?$`, "i");

const serversAllowed =
  'a JSON array of RTCIceServer objects, [{"urls":"stun:stun.example.com"}], ' +
  "with username and credential where one has turn: URLs";

const url = z.string().refine((text) => stunUrl.test(text) || turnUrl.test(text));

const serverList = z.array(
  z
    .strictObject({
      urls: z.union([url, z.array(url).min(1)]),
      username: z.string().min(1).optional(),
      credential: z.string().min(1).optional(),
    })
    .refine(({ urls, username, credential }) => {
      const turn = [urls].flat().some((text) => turnUrl.test(text));
      return !turn || (username !== undefined && credential !== undefined);
    }),
);

/** The value is not in any message: a credential may stand in it. */
export const iceServers: Format<readonly IceServer[]> = z
  .string()
  .transform((text, context) => {
    if (text === "") return [];
    const parsed = serverList.safeParse(parseJson(text));
    if (parsed.success) return parsed.data as IceServer[];
    context.issues.push({ code: "custom", message: serversAllowed, input: text });
    return z.NEVER;
  })
  .readonly()
  .describe(serversAllowed);

const urlsAllowed =
  "a comma-separated list of TURN URLs (turn:turn.example.com:3478?transport=udp, turns:…)";

export const turnUrls: Format<readonly string[]> = z
  .string()
  .transform((text, context) => {
    const urls = splitList(text);
    const named = text === "" || urls.length > 0;
    if (named && urls.every((entry) => turnUrl.test(entry))) return urls;
    context.issues.push({ code: "custom", message: urlsAllowed, input: text });
    return z.NEVER;
  })
  .readonly()
  .describe(urlsAllowed);

const secretsAllowed = "a comma-separated list of secrets";

export const secretList: Format<readonly string[]> = z
  .string()
  .transform((text, context) => {
    const secrets = splitList(text);
    if (text === "" || secrets.length > 0) return secrets;
    context.issues.push({ code: "custom", message: secretsAllowed, input: text });
    return z.NEVER;
  })
  .readonly()
  .describe(secretsAllowed);

export type RoomsWithTurn = "redeemed" | "any";

const roomsAllowed = "redeemed or any";

export const roomsWithTurn: Format<RoomsWithTurn> = z
  .string()
  .transform((text, context): RoomsWithTurn => {
    const lower = text.toLowerCase();
    if (lower === "redeemed" || lower === "any") return lower;
    context.issues.push({ code: "custom", message: roomsAllowed, input: text });
    return z.NEVER;
  })
  .describe(roomsAllowed);

/** Blank entries are skipped. */
function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

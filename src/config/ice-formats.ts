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
  "a comma-separated list of stun: URLs, or a JSON array of RTCIceServer objects, " +
  '[{"urls":"stun:stun.example.com"}], with username and credential where one has turn: URLs';

const url = z.string().refine((text) => stunUrl.test(text) || turnUrl.test(text), {
  message: "has a URL that is no stun: or turn: URL",
});

const serverList = z.array(
  z
    .strictObject(
      {
        urls: z.union([url, z.array(url).min(1, "has no urls")], {
          error: "has no urls",
        }),
        username: z
          .string("has a username that is no text")
          .min(1, "has an empty username")
          .optional(),
        credential: z
          .string("has a credential that is no text")
          .min(1, "has an empty credential")
          .optional(),
      },
      {
        error: ({ code }) =>
          code === "unrecognized_keys"
            ? "has other fields than urls, username and credential"
            : "is no object",
      },
    )
    .refine(
      ({ urls, username, credential }) => {
        const turn = [urls].flat().some((text) => turnUrl.test(text));
        return !turn || (username !== undefined && credential !== undefined);
      },
      { message: "has turn: URLs without username and credential" },
    ),
  "it is no array",
);

/** The value is not in any message: a credential may stand in it. */
export const iceServers: Format<readonly IceServer[]> = z
  .string()
  .transform((text, context) => {
    const read = text.startsWith("[") || text.startsWith("{") ? readServers(text) : readUrls(text);
    if (typeof read !== "string") return read;
    context.issues.push({ code: "custom", message: `${serversAllowed}; ${read}`, input: text });
    return z.NEVER;
  })
  .readonly()
  .describe(serversAllowed);

/** The servers, or what is wrong with them. */
function readServers(text: string): readonly IceServer[] | string {
  const json = parseJson(text);
  if (json === undefined) return "it is no valid JSON";
  const parsed = serverList.safeParse(json);
  if (parsed.success) return parsed.data as IceServer[];
  const [fault] = parsed.error.issues;
  const [at] = fault?.path ?? [];
  return typeof at === "number" ? `entry ${at + 1} ${fault?.message}` : `${fault?.message}`;
}

function readUrls(text: string): readonly IceServer[] | string {
  const urls = splitList(text);
  const wrong = urls.findIndex((entry) => !stunUrl.test(entry));
  if (wrong !== -1) return `entry ${wrong + 1} is no stun: URL`;
  return urls.map((entry) => ({ urls: entry }));
}

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

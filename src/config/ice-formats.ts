import { z } from "zod";
import { Fault, type Format, format, listOf, splitList } from "./formats.ts";

/** An ICE server as a browser takes it (W3C WebRTC, section 4.2.4, RTCIceServer). */
export interface IceServer {
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

/** A port from 1 to 65535. After the scheme: `host`, `host:port` or `[IPv6]:port` (RFC 7064, RFC 7065). */
const port =
  "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
const authority = String.raw`(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::${port})?`;
const stunUrl = new RegExp(`^stuns?:${authority}$`, "i");
const turnUrl = new RegExp(String.raw`^turns?:${authority}(?:\?transport=(?:udp|tcp))?$`, "i");

const urlAllowed = "has to be a stun: or turn: URL, or a list of them";
const url = z.string().refine((text) => stunUrl.test(text) || turnUrl.test(text), urlAllowed);
const nonEmpty = z.string().min(1).optional();

const serverList = z.array(
  z
    .strictObject({
      urls: z.union([url, z.array(url).min(1)], urlAllowed),
      username: nonEmpty,
      credential: nonEmpty,
    })
    .refine(
      ({ urls, username, credential }) =>
        (username !== undefined && credential !== undefined) ||
        ![urls].flat().some((text) => turnUrl.test(text)),
      "turn: URLs need username and credential",
    ),
);

export const iceServers: Format<readonly IceServer[]> = format(
  "a comma-separated list of stun: URLs, or a JSON array of RTCIceServer objects, " +
    '[{"urls":"stun:stun.example.com"}], with username and credential for turn: URLs',
  (text) => (/^[[{]/.test(text) ? readServers(text) : readUrls(text)),
);

function readServers(text: string): readonly IceServer[] | Fault {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Fault("it is not valid JSON");
  }
  const parsed = serverList.safeParse(json);
  if (parsed.success) return parsed.data as IceServer[];
  const [
    {
      path: [at, ...field],
      message,
    } = { path: [], message: "" },
  ] = parsed.error.issues;
  const where = at === undefined ? "" : `${["entry", Number(at) + 1, ...field].join(" ")}: `;
  return new Fault(`${where}${message}`);
}

function readUrls(text: string): readonly IceServer[] | Fault {
  const urls = splitList(text);
  const wrong = urls.findIndex((entry) => !stunUrl.test(entry));
  if (wrong !== -1) return new Fault(`entry ${wrong + 1} is not a stun: URL`);
  return urls.map((entry) => ({ urls: entry }));
}

export const turnUrls: Format<readonly string[]> = format(
  "a comma-separated list of TURN URLs (turn:turn.example.com:3478?transport=udp, turns:…)",
  (text) => listOf(text, (entry) => (turnUrl.test(entry) ? entry : undefined)),
);

export const secretList: Format<readonly string[]> = format(
  "a comma-separated list of secrets",
  (text) => listOf(text, (entry) => entry),
);

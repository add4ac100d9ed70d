import { en } from "zod/locales";
import { z } from "zod/mini";
import { Fault, type Format, format, listOf, splitList } from "./formats.ts";

/** Where a STUN or TURN server is asked (RFC 7064, RFC 7065). */
export interface IceUrl {
  readonly isTurn: boolean;
  /** Over TLS, or over DTLS if `transport` is `udp`. */
  readonly isSecure: boolean;
  readonly transport: "udp" | "tcp";
  /** In lower case, without brackets. */
  readonly host: string;
  readonly port: number;
}

const iceUrl =
  /^(stun|turn)(s?):(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::(\d+))?(?:\?transport=(udp|tcp))?$/i;

/** Undefined unless `text` is a STUN or TURN URL. */
export function parseIceUrl(text: string): IceUrl | undefined {
  // Matched before it is put into lower case, which makes ASCII of other letters (U+212A, KELVIN SIGN).
  if (!iceUrl.test(text)) return undefined;
  const [, scheme, s, name, ipv6, givenPort, over] = iceUrl.exec(text.toLowerCase()) ?? [];
  const isTurn = scheme === "turn";
  const isSecure = s === "s";
  const host = name ?? ipv6;
  const port = Number(givenPort ?? (isSecure ? 5_349 : 3_478));
  if (host === undefined || port < 1 || port > 65_535 || (over && !isTurn)) return undefined;
  const transport = over === "tcp" || (isSecure && over === undefined) ? "tcp" : "udp";
  return { isTurn, isSecure, transport, host, port };
}

const isTurn = (text: string) => parseIceUrl(text)?.isTurn === true;

const urlAllowed = "has to be a stun: or turn: URL, or a list of them";
const url = z.string().check(z.refine((text) => parseIceUrl(text) !== undefined, urlAllowed));
const nonEmpty = z.optional(z.string().check(z.minLength(1)));

/** As browsers take them (W3C WebRTC, section 4.2.4, RTCIceServer). */
const serverList = z.array(
  z
    .strictObject({
      urls: z.union([url, z.array(url).check(z.minLength(1))], urlAllowed),
      username: nonEmpty,
      credential: nonEmpty,
    })
    .check(
      z.refine(
        ({ urls, username, credential }) =>
          (username !== undefined && credential !== undefined) || ![urls].flat().some(isTurn),
        "turn: URLs need username and credential",
      ),
    ),
);

type IceServers = Readonly<z.output<typeof serverList>>;

export const iceServers: Format<IceServers> = format(
  "a comma-separated list of stun: URLs, or a JSON array of RTCIceServer objects, " +
    '[{"urls":"stun:stun.example.com"}], with username and credential for turn: URLs',
  (text) => (/^[[{]/.test(text) ? readServers(text) : readUrls(text)),
);

function readServers(text: string): IceServers | Fault {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Fault("it is not valid JSON");
  }
  const parsed = serverList.safeParse(json, { error: en().localeError });
  if (parsed.success) return parsed.data;
  const [
    {
      path: [at, ...field],
      message,
    } = { path: [], message: "" },
  ] = parsed.error.issues;
  const where = at === undefined ? "" : `${["entry", Number(at) + 1, ...field].join(" ")}: `;
  return new Fault(`${where}${message}`);
}

function readUrls(text: string): IceServers | Fault {
  const urls = splitList(text);
  const wrong = urls.findIndex((entry) => parseIceUrl(entry)?.isTurn !== false);
  if (wrong !== -1) return new Fault(`entry ${wrong + 1} is not a stun: URL`);
  return urls.map((entry) => ({ urls: entry }));
}

export const turnUrls: Format<readonly string[]> = format(
  "a comma-separated list of TURN URLs (turn:turn.example.com:3478?transport=udp, turns:…)",
  (text) => listOf(text, (entry) => (isTurn(entry) ? entry : undefined)),
);

export const secretList: Format<readonly string[]> = format(
  "a comma-separated list of secrets",
  (text) => listOf(text, (entry) => entry),
);

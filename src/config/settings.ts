import type { z } from "zod";
import {
  basePath,
  boolean,
  byteCount,
  duration,
  type Format,
  filePath,
  gib,
  headerName,
  hostNames,
  kib,
  listenHost,
  logLevel,
  mib,
  oneOf,
  origins,
  proxies,
  redisHosts,
  redisUrl,
  route,
  socketCount,
  text,
  token,
  wholeNumber,
} from "./formats.ts";
import { iceServers, secretList, turnUrls } from "./ice-formats.ts";

/** One thing an operator can set. Everything said about it anywhere derives from here. */
export type Setting = {
  /** The environment variable. */
  readonly variable: string;
  /** Other names of the variable, as the reference server knows it. */
  readonly aliases?: readonly string[];
  readonly schema: Format<unknown>;
  /** In the form the operator would write it. Empty: not set. */
  readonly default: string;
  /** What it does, without a full stop at its end. */
  readonly help: string;
  /** Its value is never shown. */
  readonly secret?: true;
  /** Nodes that share a Redis have to agree on it; those that do not are warned. */
  readonly sameOnAllNodes?: true;
} & (
  | { /** Its name in `Config`. */ readonly key: string; readonly noMeaning?: never }
  | { /** Why it is accepted but does nothing here. */ readonly noMeaning: string }
);

/** Why the server cannot start with what it was given. */
export type SettingError =
  | {
      /** The name the operator used: the variable's, one of its aliases, or a flag. */
      readonly variable: string;
      /** As it was given. Undefined when it was not; three asterisks for a secret. */
      readonly value: string | undefined;
      /** What would have been right, in words that follow "must be". */
      readonly allowed: string;
    }
  | {
      /** An argument that cannot be understood, as it was written, but without a value. */
      readonly variable: string;
      /** What is wrong with it and what to do, without a full stop. */
      readonly fault: string;
    };

interface SettingGroup {
  readonly title: string;
  readonly settings: readonly Setting[];
}

/** The greatest number of anything counted, for those that have no natural bound. */
const maxCount = 1_000_000_000;

/** The smallest bound on a message that the reference server starts with. */
const minMessageBytes = 1_025;

/** Every path the server answers at, with or without `BASE_PATH`: the metrics need another one. */
const otherRoutes = [
  "/",
  "/client.js",
  "/peer.js",
  "/rendezvous/code",
  "/rendezvous/redeem",
  "/rendezvous/whoami",
  "/rendezvous/ice",
  "/openapi.json",
  "/asyncapi.json",
  "/healthz",
  "/readyz",
  "/ws",
  "/ws/",
];

/** The one table: everything an operator can set, in the order in which it is shown. */
const groups = [
  {
    title: "Listening, metrics and log",
    settings: [
      {
        variable: "HOST",
        key: "host",
        schema: listenHost,
        default: "0.0.0.0",
        help: "Address to listen on",
      },
      {
        variable: "PORT",
        key: "port",
        schema: wholeNumber(0, 65_535),
        default: "1234",
        help: "Port to listen on; 0 takes any free one",
      },
      {
        variable: "TLS_CERT_FILE",
        key: "tlsCertFile",
        schema: filePath,
        default: "",
        help: "Certificate chain in PEM format; with `TLS_KEY_FILE` it turns TLS on",
      },
      {
        variable: "TLS_KEY_FILE",
        key: "tlsKeyFile",
        schema: filePath,
        default: "",
        help: "Private key of the certificate in PEM format, not encrypted",
      },
      {
        variable: "TLS_SELF_SIGNED",
        key: "tlsSelfSigned",
        schema: boolean,
        default: "false",
        help: "TLS with a certificate that the server makes for the names and addresses of this machine, keeps in the user's cache folder and renews: for phones on a LAN, whose browsers ask once whether to trust it",
      },
      {
        variable: "PORT_FILE",
        key: "portFile",
        schema: filePath,
        default: "",
        help: "File that holds the port as long as the server listens, for programs that start it with `PORT=0`",
      },
      {
        variable: "OPEN",
        key: "open",
        schema: boolean,
        default: "false",
        help: "Open the page in the browser once the server listens",
      },
      {
        variable: "BASE_PATH",
        key: "basePath",
        schema: basePath,
        default: "",
        help: "Prefix of every path but `/healthz`, `/readyz` and `METRICS_ROUTE`, for a proxy that forwards one folder",
      },
      {
        variable: "IDLE_TIMEOUT",
        key: "idleTimeoutMs",
        schema: duration("0", "4m"),
        default: "150s",
        help: "How long an HTTP connection is kept for its next request, to the second. Longer than the proxy in front keeps it. 0: it ends with each answer",
      },
      {
        variable: "DRAIN",
        key: "drainMs",
        schema: duration("0", "10m"),
        default: "5s",
        help: "With `REDIS_URL`, the time over which peers are disconnected when the server stops; 0 disconnects all at once, as a single server does",
      },
      {
        variable: "STATE_FILE",
        key: "stateFile",
        schema: filePath,
        default: "",
        help: "File that keeps codes, rooms and mail over a restart; empty: a restart forgets them",
      },
      {
        variable: "METRICS_ROUTE",
        key: "metricsRoute",
        schema: route(otherRoutes),
        default: "/metrics",
        help: "Path of the metrics, for Prometheus",
      },
      {
        variable: "METRICS_TOKEN",
        key: "metricsToken",
        schema: token,
        default: "",
        help: "Bearer token that is required to read the metrics; empty: none is required",
        secret: true,
      },
      {
        variable: "LOG_LEVEL",
        key: "logLevel",
        schema: logLevel,
        default: "info",
        help: "Lowest level that is logged. With `debug` connections, codes, pairs and refusals have a line each, with `trace` every frame that a client sends",
      },
      {
        variable: "LOG_FORMAT",
        key: "logFormat",
        schema: oneOf(["auto", "json", "pretty"]),
        default: "auto",
        help: "Format of log lines; auto is pretty on a terminal and JSON everywhere else",
      },
      {
        variable: "LOG_CLIENT",
        key: "logClient",
        schema: oneOf(["full", "prefix", "none"]),
        default: "prefix",
        help: "How much of a client's address is logged; prefix is its /24 (IPv4) or /48 (IPv6)",
      },
    ],
  },
  {
    title: "Codes",
    settings: [
      {
        variable: "ROOM_TTL",
        key: "roomTtlMs",
        schema: duration("1s", "168h"),
        default: "10m",
        help: "How long a code can be redeemed, and how long mail waits in an empty room. A mint may ask for less; a longer one is cut to `ROOM_TTL`",
        sameOnAllNodes: true,
      },
      {
        variable: "CODE_DIGITS",
        key: "codeDigits",
        schema: wholeNumber(4, 8),
        default: "4",
        help: "Digits of a code while few codes are live and none are being guessed",
        sameOnAllNodes: true,
      },
      {
        variable: "CODE_DIGITS_MAX",
        key: "codeDigitsMax",
        schema: wholeNumber(4, 8),
        default: "8",
        help: "Digits that codes may grow to when many are live or being guessed",
        sameOnAllNodes: true,
      },
      {
        variable: "CODES_PER_CLIENT",
        key: "codesPerClient",
        schema: wholeNumber(0, maxCount),
        default: "100",
        help: "Codes that one client may hold at a time. Used and expired codes count for another `ROOM_TTL`. A customer (a /56) may hold 4 times as many, a site (a /48, or all clients behind a proxy that cannot be told apart) 16 times. Of `MAX_CODES` a client holds an eighth at most, a customer a quarter, a site half. 0: no limit, and no share",
        sameOnAllNodes: true,
      },
      {
        variable: "MAX_CODES",
        key: "maxCodes",
        schema: wholeNumber(1, 10_000_000),
        default: "1000000",
        help: "Codes at a time, live or not yet free again; further mints are refused with 503",
        sameOnAllNodes: true,
      },
      {
        variable: "REDEEM_FAILURES",
        key: "redeemFailures",
        schema: wholeNumber(0, maxCount),
        default: "10",
        help: "Failed redeems that one client may make within `REDEEM_WINDOW` (a customer 4 times as many) before it is refused with 429; 0: no limit",
        sameOnAllNodes: true,
      },
      {
        variable: "REDEEM_WINDOW",
        key: "redeemWindowMs",
        schema: duration("1s", "24h"),
        default: "10m",
        help: "How long failed redeems count, and how long the first refusal lasts",
        sameOnAllNodes: true,
      },
    ],
  },
  {
    title: "Rooms",
    settings: [
      {
        variable: "MAX_ROOMS",
        key: "maxRooms",
        schema: wholeNumber(2, 10_000_000),
        default: "100000",
        help: "Rooms at a time; further ones are refused with 503. Rooms that were not minted here get at most half",
        sameOnAllNodes: true,
      },
      {
        variable: "RELAY_HOLD",
        key: "relayHoldMs",
        schema: duration("0", "10m"),
        default: "10s",
        help: "How long frames are held for a peer that has just left; 0: not at all",
        sameOnAllNodes: true,
      },
      {
        variable: "MAILBOX_MAX_MAILS",
        key: "mailboxMaxMails",
        schema: wholeNumber(1, 1_000_000),
        default: "10000",
        help: "Unacknowledged mails that one mailbox holds",
        sameOnAllNodes: true,
      },
      {
        variable: "MAILBOX_MAX_BYTES",
        key: "mailboxMaxBytes",
        schema: byteCount(minMessageBytes, gib),
        default: "4194304",
        help: "Bytes of payload that one mailbox holds; at least `WS_MAX_MSG`",
        sameOnAllNodes: true,
      },
      {
        variable: "MAIL_TOTAL_BYTES",
        key: "mailTotalBytes",
        schema: byteCount(minMessageBytes, 1_024 * gib),
        default: "268435456",
        help: "Bytes of mail, held frames and ids of mail in all; one client gets an eighth. At least `WS_MAX_MSG`; 16 times that lets any mail fit",
        sameOnAllNodes: true,
      },
    ],
  },
  {
    title: "Sockets",
    settings: [
      {
        variable: "HEARTBEAT",
        aliases: ["WS_HEARTBEAT"],
        key: "heartbeatMs",
        schema: duration("100ms", "10m"),
        default: "20s",
        help: "Interval of pings. A connection that stays silent until the next ping is closed, after 4 s at the earliest. A client cannot answer while it sends a message, so sending one may take no longer either",
        sameOnAllNodes: true,
      },
      {
        variable: "WS_MAX_MSG",
        key: "wsMaxMsgBytes",
        schema: byteCount(minMessageBytes, 16 * mib),
        default: "1048576",
        help: "Bytes of the largest WebSocket message; a larger one closes the connection with 1009",
        sameOnAllNodes: true,
      },
      {
        variable: "WS_BUFFER",
        key: "wsBufferBytes",
        schema: byteCount(16 * kib, 64 * mib),
        default: "262144",
        help: "When this much waits unsent for a peer, its partner is read no further",
      },
      {
        variable: "WS_BUFFER_TOTAL",
        key: "wsBufferTotalBytes",
        schema: byteCount(16 * kib, 1_024 * gib),
        default: "268435456",
        help: "When this much waits unsent for all peers together, the slowest is closed; when an eighth waits for one client, a quarter for one customer or half for one site, its slowest",
      },
      {
        variable: "SLOW_PEER_TIMEOUT",
        key: "slowPeerTimeoutMs",
        schema: duration("1s", "10m"),
        default: "30s",
        help: "A peer that reads nothing of what waits for it for this long is closed with 1013",
      },
      {
        variable: "FRAMES_PER_SEC",
        key: "framesPerSec",
        schema: wholeNumber(0, maxCount),
        default: "1000",
        help: "Frames a second that are read from one socket, with bursts of twice that. Every 512 characters of a frame count as one more frame. On a busy server the sockets of one client together get an eighth of the time that frames take, those of a site half; frames over 16 KiB of all clients get a quarter of a core. 0: none of these limits",
      },
      {
        variable: "MAX_SOCKETS",
        key: "maxSockets",
        schema: socketCount,
        default: "auto",
        help: "WebSockets at a time; further ones are refused with 503. A client gets at most an eighth of them, a customer a quarter, a site half. auto is 95 % of the open-file limit",
      },
    ],
  },
  {
    title: "Clients",
    settings: [
      {
        variable: "CORS_ORIGINS",
        key: "corsOrigins",
        schema: origins,
        default: "",
        help: "Origins of the web pages that may connect, unless `DEV` is set to true. The origin of a page opened from a file is `null`, and so is that of any page in a sandbox: `file://` allows both",
      },
      {
        variable: "DEV",
        key: "dev",
        schema: boolean,
        default: "true",
        help: "Whether any web page may connect; false by default when `CORS_ORIGINS` is set",
      },
      {
        variable: "SERVER_NAMES",
        key: "serverNames",
        schema: hostNames,
        default: "",
        help: "Host names of this server. Its own pages may connect when they were loaded from one of these, an IP address or `localhost`; empty: from any name",
      },
      {
        variable: "TRUST_PROXY",
        key: "trustProxy",
        schema: proxies,
        default: "loopback",
        help: "Proxies that are trusted to tell the client's address",
      },
      {
        variable: "CLIENT_IP_HEADER",
        key: "clientIpHeader",
        schema: headerName,
        default: "",
        help: "Header in which trusted proxies tell the client's address, with a port or not; empty: `X-Forwarded-For`, or `Forwarded` where that is missing",
      },
      {
        variable: "HTTP_RATE_PER_MIN",
        key: "httpRatePerMin",
        schema: wholeNumber(0, maxCount),
        default: "0",
        help: "HTTP requests a minute of one client, on any path but `/healthz` and `/readyz`; a customer may make 4 times as many, a site 16 times. 0: no limit",
      },
      {
        variable: "WS_RATE_PER_MIN",
        key: "wsRatePerMin",
        schema: wholeNumber(0, maxCount),
        default: "0",
        help: "WebSocket upgrades a minute of one client; a customer may make 4 times as many, a site 16 times. 0: no limit",
      },
      {
        variable: "SOCKETS_PER_CLIENT",
        key: "socketsPerClient",
        schema: wholeNumber(0, maxCount),
        default: "1000",
        help: "WebSockets of one client at a time; a customer may have 4 times as many, a site 16 times. 0: no limit, nor a share of `MAX_SOCKETS` and `WS_BUFFER_TOTAL`",
      },
    ],
  },
  {
    title: "ICE servers",
    settings: [
      {
        variable: "DEMO",
        key: "demo",
        schema: boolean,
        default: "true",
        help: "Whether there is a page to try the server at `/`; false by default when `DEV` is false",
      },
      {
        variable: "ICE_SERVERS",
        key: "iceServers",
        schema: iceServers,
        default: "",
        help: "STUN and TURN servers that clients get; those with a credential only in rooms that get TURN",
        secret: true,
      },
      {
        variable: "TURN_URLS",
        key: "turnUrls",
        schema: turnUrls,
        default: "",
        help: "TURN servers that know `TURN_SECRET`; clients get time-limited credentials for them",
      },
      {
        variable: "TURN_SECRET",
        key: "turnSecrets",
        schema: secretList,
        default: "",
        help: "Secrets that TURN credentials are signed with (coturn's `static-auth-secret`). The first one signs; the others are for rotation",
        secret: true,
      },
      {
        variable: "TURN_TTL",
        key: "turnTtlMs",
        schema: duration("1m", "24h"),
        default: "10m",
        help: "How long TURN credentials are valid",
      },
      {
        variable: "TURN_ROOMS",
        key: "turnRooms",
        schema: oneOf(["redeemed", "any"]),
        default: "redeemed",
        help: "Rooms that get TURN: those whose code was minted and redeemed here, or any",
      },
    ],
  },
  {
    title: "Several servers",
    settings: [
      {
        variable: "REDIS_URL",
        key: "redisUrl",
        schema: redisUrl,
        default: "",
        help: "Redis 7 or Valkey that keeps codes, rooms and mail for all servers with the same URL; empty: they are kept in this process",
        secret: true,
      },
      {
        variable: "REDIS_SENTINELS",
        key: "redisSentinels",
        schema: redisHosts,
        default: "",
        help: "Sentinels that know where the primary is. Scheme, user, password and database are taken from `REDIS_URL`, and its host is ignored",
      },
      {
        variable: "REDIS_SENTINEL_NAME",
        key: "redisSentinelName",
        schema: text(/^[\w.-]+$/, "letters, digits and . _ - only"),
        default: "mymaster",
        help: "Name of the primary at the sentinels",
      },
      {
        variable: "REDIS_SENTINEL_USER",
        key: "redisSentinelUser",
        schema: text(/^\S*$/, "a user name without spaces"),
        default: "",
        help: "User of the sentinels (ACL), if it is not their default one; needs `REDIS_SENTINEL_PASSWORD`",
      },
      {
        variable: "REDIS_SENTINEL_PASSWORD",
        key: "redisSentinelPassword",
        schema: text(/^/, "a password"),
        default: "",
        help: "Password of the sentinels, if they have one of their own",
        secret: true,
      },
      {
        variable: "REDIS_CA_FILE",
        key: "redisCaFile",
        schema: filePath,
        default: "",
        help: "Certificate authorities in PEM format that a `rediss://` server is checked against; empty: the public ones",
      },
      {
        variable: "REDIS_PREFIX",
        key: "redisPrefix",
        schema: text(/^[\w.:-]{1,32}$/, "1 to 32 letters, digits and . _ : - only"),
        default: "nt:",
        help: "Prefix of all keys and channels. Servers with different prefixes do not see each other",
      },
      {
        variable: "REDIS_TIMEOUT",
        key: "redisTimeoutMs",
        schema: duration("100ms", "30s"),
        default: "2s",
        help: "How long Redis has to answer. A command that misses this deadline has no effect",
      },
    ],
  },
] as const satisfies readonly SettingGroup[];

/** Settings of the reference server that do nothing here: checked, accepted and warned about. */
const withoutMeaning: readonly Setting[] = [
  {
    variable: "WS_READ_BUF",
    aliases: ["WS_READ_BUFFER"],
    schema: byteCount(0, gib),
    default: "4096",
    help: "Read buffer of a connection in bytes",
    noMeaning: "Bun sizes its own buffers",
  },
  {
    variable: "WS_WRITE_BUF",
    aliases: ["WS_WRITE_BUFFER"],
    schema: byteCount(0, gib),
    default: "4096",
    help: "Write buffer of a connection in bytes",
    noMeaning: "Bun sizes its own buffers",
  },
  {
    variable: "WS_HANDSHAKE",
    schema: duration("0", "24h"),
    default: "10s",
    help: "Time for a WebSocket upgrade",
    noMeaning: "an upgrade is answered at once",
  },
  {
    variable: "READ_HEADER_TIMEOUT",
    schema: duration("0", "24h"),
    default: "5s",
    help: "Time for the headers of a request",
    noMeaning: "Bun closes slow requests itself",
  },
  {
    variable: "WRITE_TIMEOUT",
    schema: duration("0", "24h"),
    default: "0",
    help: "Time for writing an answer",
    noMeaning: "Bun closes slow requests itself",
  },
];

type Meaningful = Extract<(typeof groups)[number]["settings"][number], { readonly key: string }>;

/** What the operator has decided, checked. Names end in their unit: `Ms`, `Bytes`. */
export type Config = {
  readonly [S in Meaningful as S["key"]]: z.output<S["schema"]>;
};

/** The settings by topic, without those that do nothing here. */
export const settingGroups: readonly SettingGroup[] = groups;

export const settings: readonly Setting[] = [
  ...settingGroups.flatMap((group) => group.settings),
  ...withoutMeaning,
];

/** The value of a setting; undefined for one that does nothing here. */
export function settingValue(config: Config, setting: Setting): unknown {
  return setting.noMeaning === undefined ? config[setting.key as keyof Config] : undefined;
}

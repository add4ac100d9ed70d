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
  tib,
  token,
  wholeNumber,
} from "./formats.ts";
import { iceServers, secretList, turnUrls } from "./ice-formats.ts";

interface Marks {
  /** Other names of the variable, as the reference server knows it. */
  readonly aliases?: readonly string[];
  /** Its value is never shown. */
  readonly secret?: true;
  /** All nodes that share a Redis need the same value; a difference is logged. */
  readonly sameOnAllNodes?: true;
}

interface Row<T> extends Marks {
  /** The environment variable. */
  readonly variable: string;
  readonly schema: Format<T>;
  /** In the form the operator would write it. Empty: not set. */
  readonly default: string;
  /** What it does, without a full stop at its end. */
  readonly help: string;
}

/** One thing an operator can set. Flags, help and documentation are made from this. */
export interface Setting extends Row<unknown> {
  readonly key: keyof Config;
}

function setting<T>(variable: string, schema: Format<T>, byDefault: string, marks: Marks = {}) {
  return {
    help: (help: string): Row<T> => ({ variable, schema, default: byDefault, help, ...marks }),
  };
}

const secret = { secret: true } as const;
const shared = { sameOnAllNodes: true } as const;

/** The highest value of limits that have no natural bound. */
const maxCount = 1_000_000_000;

/** A bound on messages: the lowest one is that of the reference server. */
const messageBytes = (max: number) => byteCount(1_025, max);

/** Every path the server answers at, except those below `/rendezvous/`: the metrics need another one. */
const otherRoutes = [
  ...["/", "/client.js", "/peer.js", "/openapi.json", "/asyncapi.json", "/healthz", "/readyz"],
  ...["/ws", "/ws/"],
];

/** Everything an operator can set, by its name in `Config`, in the order in which it is shown. */
const groups = {
  "Listening, metrics and log": {
    host: setting("HOST", listenHost, "0.0.0.0").help("Address to listen on"),
    port: setting("PORT", wholeNumber(0, 65_535), "1234").help(
      "Port to listen on; 0 takes any free one",
    ),
    tlsCertFile: setting("TLS_CERT_FILE", filePath, "").help(
      "Certificate chain in PEM format; together with `TLS_KEY_FILE` it turns TLS on",
    ),
    tlsKeyFile: setting("TLS_KEY_FILE", filePath, "").help(
      "Private key of the certificate in PEM format, not encrypted",
    ),
    tlsSelfSigned: setting("TLS_SELF_SIGNED", boolean, "false").help(
      "Whether to use TLS with a certificate that the server makes for the names and addresses of this machine, keeps in the user's cache folder and renews. For phones on a LAN: their browsers ask once whether to trust it",
    ),
    portFile: setting("PORT_FILE", filePath, "").help(
      "File that holds the port while the server listens, for programs that start it with `PORT=0`",
    ),
    open: setting("OPEN", boolean, "false").help(
      "Whether to open the page in the browser when the server listens",
    ),
    basePath: setting("BASE_PATH", basePath, "").help(
      "Prefix of every path except `/healthz`, `/readyz` and `METRICS_ROUTE`, for a proxy that forwards one folder",
    ),
    idleTimeoutMs: setting("IDLE_TIMEOUT", duration("0", "4m"), "150s").help(
      "How long an HTTP connection without a request stays open, in whole seconds. It has to be longer than the proxy in front keeps the connection. 0: it is closed after each answer",
    ),
    drainMs: setting("DRAIN", duration("0", "10m"), "5s").help(
      "When a server with `REDIS_URL` stops, it disconnects its peers over this time. 0: all at once, as a single server does",
    ),
    stateFile: setting("STATE_FILE", filePath, "").help(
      "File that keeps codes, rooms and mail over a restart; empty: a restart loses them",
    ),
    metricsRoute: setting("METRICS_ROUTE", route(otherRoutes, "/rendezvous/"), "/metrics").help(
      "Path of the metrics, for Prometheus",
    ),
    metricsToken: setting("METRICS_TOKEN", token, "", secret).help(
      "Bearer token that is required to read the metrics; empty: they can be read without one",
    ),
    logLevel: setting("LOG_LEVEL", logLevel, "info").help(
      "Lowest level that is logged. `debug` adds a line for each connection, code, pair and refusal, `trace` one for each frame that a client sends",
    ),
    logFormat: setting("LOG_FORMAT", oneOf(["auto", "json", "pretty"]), "auto").help(
      "Format of log lines. auto: pretty on a terminal, JSON everywhere else",
    ),
    logClient: setting("LOG_CLIENT", oneOf(["full", "prefix", "none"]), "prefix").help(
      "How much of a client's address is logged. prefix: its /24 (IPv4) or /48 (IPv6)",
    ),
  },
  Codes: {
    roomTtlMs: setting("ROOM_TTL", duration("1s", "168h"), "10m", shared).help(
      "How long a code can be redeemed, and how long mail waits in an empty room. A mint may ask for less; more is cut to `ROOM_TTL`",
    ),
    codeDigits: setting("CODE_DIGITS", wholeNumber(4, 8), "4", shared).help(
      "Digits of the shortest codes. Codes grow when many are live, or when clients try to guess them",
    ),
    codeDigitsMax: setting("CODE_DIGITS_MAX", wholeNumber(4, 8), "8", shared).help(
      "Digits of the longest codes",
    ),
    codesPerClient: setting("CODES_PER_CLIENT", wholeNumber(0, maxCount), "100", shared).help(
      "Codes that one client may hold at a time; used and expired codes count for another `ROOM_TTL`. A customer may hold 4 times as many, a site 16 times. Of `MAX_CODES` a client may hold at most an eighth, a customer a quarter, a site half. 0 removes all these limits",
    ),
    maxCodes: setting("MAX_CODES", wholeNumber(1, 10_000_000), "1000000", shared).help(
      "Codes at a time, live or not yet free again; further mints are refused with 503",
    ),
    redeemFailures: setting("REDEEM_FAILURES", wholeNumber(0, maxCount), "10", shared).help(
      "Failed redeems that one client may make within `REDEEM_WINDOW` before it is refused with 429; a customer may make 4 times as many. 0: no limit",
    ),
    redeemWindowMs: setting("REDEEM_WINDOW", duration("1s", "24h"), "10m", shared).help(
      "How long failed redeems count, and how long the first refusal lasts",
    ),
  },
  Rooms: {
    maxRooms: setting("MAX_ROOMS", wholeNumber(2, 10_000_000), "100000", shared).help(
      "Rooms at a time; further ones are refused with 503. Rooms without a code that was minted here may take at most half",
    ),
    relayHoldMs: setting("RELAY_HOLD", duration("0", "10m"), "10s", shared).help(
      "How long frames are held for a peer that has just left; 0: they are not held",
    ),
    mailboxMaxMails: setting("MAILBOX_MAX_MAILS", wholeNumber(1, 1_000_000), "10000", shared).help(
      "Unacknowledged mails that one mailbox holds",
    ),
    mailboxMaxBytes: setting("MAILBOX_MAX_BYTES", messageBytes(gib), "4194304", shared).help(
      "Bytes of payload that one mailbox holds; at least `WS_MAX_MSG`",
    ),
    mailTotalBytes: setting("MAIL_TOTAL_BYTES", messageBytes(tib), "268435456", shared).help(
      "Bytes of mail, ids of mail and held frames in all rooms together; one client may use an eighth. At least `WS_MAX_MSG`; with 16 × `WS_MAX_MSG` one client can send its largest mail",
    ),
  },
  Sockets: {
    heartbeatMs: setting("HEARTBEAT", duration("100ms", "10m"), "20s", {
      aliases: ["WS_HEARTBEAT"],
      sameOnAllNodes: true,
    }).help(
      "Interval of pings. A connection that sends nothing until the next ping is closed, after 4 s at the earliest. A client cannot answer a ping while it sends a message, so each message has to be sent within this time",
    ),
    wsMaxMsgBytes: setting("WS_MAX_MSG", messageBytes(16 * mib), "1048576", shared).help(
      "Bytes of the largest WebSocket message; a larger one closes the connection with 1009",
    ),
    wsBufferBytes: setting("WS_BUFFER", byteCount(16 * kib, 64 * mib), "262144").help(
      "Bytes that may wait unsent for a peer; while more wait, the server does not read from its partner",
    ),
    wsBufferTotalBytes: setting("WS_BUFFER_TOTAL", byteCount(16 * kib, tib), "268435456").help(
      "Bytes that may wait unsent for all peers together; when more wait, the slowest peer is closed. A client may use an eighth of them, a customer a quarter, a site half; when more wait, its slowest peer is closed",
    ),
    slowPeerTimeoutMs: setting("SLOW_PEER_TIMEOUT", duration("1s", "10m"), "30s").help(
      "A peer for which data waits and that reads nothing for this long is closed with 1013",
    ),
    framesPerSec: setting("FRAMES_PER_SEC", wholeNumber(0, maxCount), "1000").help(
      "Frames a second that are read from one socket, with bursts of twice that. Every 512 characters of a frame count as one more frame. On a busy server the sockets of one client together get an eighth of the time for frames, those of a site half; frames over 16 KiB of all clients get a quarter of a core. 0 removes all these limits",
    ),
    maxSockets: setting("MAX_SOCKETS", socketCount, "auto").help(
      "WebSockets at a time; further ones are refused with 503. A client may have at most an eighth of them, a customer a quarter, a site half. auto: 95 % of the open-file limit",
    ),
  },
  Clients: {
    corsOrigins: setting("CORS_ORIGINS", origins, "").help(
      "Origins of the web pages that may connect; ignored when `DEV` is set to true. `file://` also allows any page in a sandbox: both have the origin `null`",
    ),
    dev: setting("DEV", boolean, "true").help(
      "Whether any web page may connect; false by default when `CORS_ORIGINS` is set",
    ),
    serverNames: setting("SERVER_NAMES", hostNames, "").help(
      "Host names of this server. Its own pages may connect when they were loaded from one of these names, from an IP address or from `localhost`; empty: from any name",
    ),
    trustProxy: setting("TRUST_PROXY", proxies, "loopback").help(
      "Proxies that are trusted to report the client's address",
    ),
    clientIpHeader: setting("CLIENT_IP_HEADER", headerName, "").help(
      "Header in which trusted proxies report the client's address, with or without a port; empty: `X-Forwarded-For`, or `Forwarded` when that is missing",
    ),
    httpRatePerMin: setting("HTTP_RATE_PER_MIN", wholeNumber(0, maxCount), "0").help(
      "HTTP requests a minute of one client, on all paths except `/healthz` and `/readyz`; a customer may make 4 times as many, a site 16 times. 0: no limit",
    ),
    wsRatePerMin: setting("WS_RATE_PER_MIN", wholeNumber(0, maxCount), "0").help(
      "WebSocket upgrades a minute of one client; a customer may make 4 times as many, a site 16 times. 0: no limit",
    ),
    socketsPerClient: setting("SOCKETS_PER_CLIENT", wholeNumber(0, maxCount), "1000").help(
      "WebSockets of one client at a time; a customer may have 4 times as many, a site 16 times. 0 removes this limit and the shares of `MAX_SOCKETS` and `WS_BUFFER_TOTAL`",
    ),
  },
  "ICE servers": {
    demo: setting("DEMO", boolean, "true").help(
      "Whether `/` is a page to try the server; false by default when `DEV` is false",
    ),
    iceServers: setting("ICE_SERVERS", iceServers, "", secret).help(
      "STUN and TURN servers for clients; those with a credential are only for rooms that get TURN",
    ),
    turnUrls: setting("TURN_URLS", turnUrls, "").help(
      "TURN servers that know `TURN_SECRET`; clients get time-limited credentials for them",
    ),
    turnSecrets: setting("TURN_SECRET", secretList, "", secret).help(
      "Secrets that TURN credentials are signed with (coturn's `static-auth-secret`). The first one signs; the others are for rotation",
    ),
    turnTtlMs: setting("TURN_TTL", duration("1m", "24h"), "10m").help(
      "How long TURN credentials are valid",
    ),
    turnRooms: setting("TURN_ROOMS", oneOf(["redeemed", "any"]), "redeemed").help(
      "Rooms that get TURN. redeemed: those whose code was minted and redeemed here",
    ),
  },
  "Several servers": {
    redisUrl: setting("REDIS_URL", redisUrl, "", secret).help(
      "Redis 7 or Valkey that keeps codes, rooms and mail for all servers with the same URL; empty: this process keeps them",
    ),
    redisSentinels: setting("REDIS_SENTINELS", redisHosts, "").help(
      "Sentinels that know where the primary is. Scheme, user, password and database are taken from `REDIS_URL`; its host is ignored",
    ),
    redisSentinelName: setting(
      "REDIS_SENTINEL_NAME",
      text(/^[\w.-]+$/, "letters, digits and . _ - only"),
      "mymaster",
    ).help("Name by which the sentinels know the primary"),
    redisSentinelUser: setting(
      "REDIS_SENTINEL_USER",
      text(/^\S*$/, "a user name without spaces"),
      "",
    ).help("User name for the sentinels (ACL), if not `default`; needs `REDIS_SENTINEL_PASSWORD`"),
    redisSentinelPassword: setting(
      "REDIS_SENTINEL_PASSWORD",
      text(/^/, "a password"),
      "",
      secret,
    ).help("Password for the sentinels, if they need one"),
    redisCaFile: setting("REDIS_CA_FILE", filePath, "").help(
      "Certificate authorities in PEM format that a `rediss://` server is checked against; empty: the public ones",
    ),
    redisPrefix: setting(
      "REDIS_PREFIX",
      text(/^[\w.:-]{1,32}$/, "1 to 32 letters, digits and . _ : - only"),
      "nt:",
    ).help(
      "Prefix of all keys and channels. Servers with different prefixes do not see each other",
    ),
    redisTimeoutMs: setting("REDIS_TIMEOUT", duration("100ms", "30s"), "2s").help(
      "How long Redis has to answer. A command that misses this deadline has no effect",
    ),
  },
};

/** Settings of the reference server without effect here: they are accepted whatever their value, with a warning. */
export const withoutEffect = [
  {
    variables: ["WS_READ_BUF", "WS_READ_BUFFER", "WS_WRITE_BUF", "WS_WRITE_BUFFER"],
    why: "Bun sizes its own buffers",
  },
  { variables: ["WS_HANDSHAKE"], why: "an upgrade is answered at once" },
  { variables: ["READ_HEADER_TIMEOUT", "WRITE_TIMEOUT"], why: "Bun closes slow requests itself" },
];

type Groups = (typeof groups)[keyof typeof groups];
type Key<G = Groups> = G extends G ? keyof G : never;
type Value<R> = R extends Row<infer T> ? T : never;

/** What the operator has decided, checked. Names end in their unit: `Ms`, `Bytes`. */
export type Config = {
  readonly [K in Key]: Value<Extract<Groups, Readonly<Record<K, unknown>>>[K]>;
};

/** The settings by topic. */
export const settingGroups = Object.entries(groups).map(([title, rows]) => ({
  title,
  settings: Object.entries(rows).map(([key, row]): Setting => ({ ...row, key: key as Key })),
}));

export const settings: readonly Setting[] = settingGroups.flatMap((group) => group.settings);

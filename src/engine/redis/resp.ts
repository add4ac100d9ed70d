import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { codeOf, StartError } from "../../base/errors.ts";

/** An error reply. Its first word is the kind. */
export class ReplyError extends Error {}

/** Why Redis cannot be used, in the words of `/readyz`. */
type FaultKind =
  | "cannot be reached"
  | "gives no answer"
  | "closes the connection"
  | "certificate not trusted"
  | "wrong password"
  | "password missing"
  | "not permitted"
  | "still loading"
  | "is a replica"
  | "no longer primary"
  | "will not do"
  | "no primary known"
  | "several servers";

/** A connection that failed. The message names the server and the remedy, for the log. */
export class RedisFault extends StartError {
  constructor(
    readonly kind: FaultKind,
    message: string,
  ) {
    super(message);
  }
}

/** A server, and the settings that an operator can correct. */
export interface Server {
  /** `host:port`, for messages. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** PEM text of the CA for its certificate; undefined: the built-in roots. */
  readonly ca: string | undefined;
  /** Empty for the default user. */
  readonly user: string;
  /** Empty for none. */
  readonly password: string;
  /** The setting that holds the address: `REDIS_URL`. */
  readonly setting: string;
  /** The setting that holds the password. */
  readonly passwordSetting: string;
}

export type Ask = (...words: readonly string[]) => Promise<string | string[]>;

/** Connects, logs in, runs `about`, and disconnects. Rejects with a `RedisFault`. */
export async function converse<T>(
  server: Server,
  timeoutMs: number,
  about: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { user, password } = server;
  let resp: Awaited<ReturnType<typeof openResp>> | undefined;
  try {
    resp = await openResp({ ...server, timeoutMs });
    if (password !== "") await resp.ask("AUTH", ...(user === "" ? [] : [user]), password);
    return await about(resp.ask);
  } catch (error) {
    throw explained(error, server);
  } finally {
    resp?.close();
  }
}

/**
 * A simple RESP2 connection, one command at a time. It finds out why a connection fails, which Bun's client
 * does not report. A reply is a text, a list of texts, or `ReplyError`.
 */
export async function openResp({
  host,
  port,
  secure,
  ca,
  timeoutMs,
}: Pick<Server, "host" | "port" | "secure" | "ca"> & { readonly timeoutMs: number }) {
  // SNI is for names only (RFC 6066 section 3).
  const servername = net.isIP(host) === 0 ? { servername: host } : {};
  const socket = secure
    ? tls.connect({ host, port, ...(ca === undefined ? {} : { ca }), ...servername })
    : net.connect({ host, port });
  const timedOut = Object.assign(new Error("timed out"), { code: "ETIMEDOUT" });
  socket.setTimeout(timeoutMs, () => socket.destroy(timedOut));
  await once(socket, secure ? "secureConnect" : "connect");
  socket.on("error", () => {});
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]();
  let read = "";

  async function ask(...words: readonly string[]): Promise<string | string[]> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    socket.write(`*${words.length}\r\n${parts.join("")}`);
    for (;;) {
      const reply = parseReply(read, 0);
      if (reply) {
        read = read.slice(reply.end);
        if (reply.value instanceof ReplyError) throw reply.value;
        return reply.value;
      }
      const { value, done } = await chunks.next();
      if (done) throw new Error("closed");
      read += value.toString("latin1");
    }
  }
  return { ask, close: () => socket.destroy() };
}

interface Reply {
  readonly value: string | string[] | ReplyError;
  readonly end: number;
}

/** Parses the reply at index `at` of the bytes read, one character per byte; undefined: it is incomplete. */
function parseReply(read: string, at: number): Reply | undefined {
  const lineEnd = read.indexOf("\r\n", at);
  if (lineEnd === -1) return undefined;
  const line = read.slice(at + 1, lineEnd);
  const start = lineEnd + 2;
  switch (read[at]) {
    case "+":
    case ":":
      return { value: line, end: start };
    case "-":
      return { value: new ReplyError(line), end: start };
    case "$": {
      const end = start + Number(line);
      if (end < start) return { value: "", end: start };
      const value = Buffer.from(read.slice(start, end), "latin1").toString();
      return read.length < end + 2 ? undefined : { value, end: end + 2 };
    }
    case "*": {
      const list: string[] = [];
      let end = start;
      while (list.length < Number(line)) {
        const item = parseReply(read, end);
        if (!item) return undefined;
        list.push(String(item.value));
        end = item.end;
      }
      return { value: list, end };
    }
    default:
      throw new Error("not Redis");
  }
}

// ---- faults ----

/** Explains an error of `openResp` or an error reply. */
function explained(error: unknown, to: Server): RedisFault {
  if (error instanceof RedisFault) return error;
  if (error instanceof ReplyError) return refused(error.message, to);
  const { name, secure, setting } = to;
  const code = codeOf(error);
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) {
    const remedy = to.ca === undefined ? "Name its authority's file in" : "Correct";
    return new RedisFault(
      "certificate not trusted",
      `The certificate of Redis at ${name} is not trusted (${code}). ${remedy} REDIS_CA_FILE.`,
    );
  }
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|FailedToOpenSocket)$/.test(code)
  ) {
    return new RedisFault(
      "cannot be reached",
      `Redis at ${name} cannot be reached (${code}). Start it, or correct ${setting}.`,
    );
  }
  const remedy = secure
    ? "If it does not speak TLS, REDIS_URL has to begin with redis://"
    : "If it expects TLS, REDIS_URL has to begin with rediss://";
  return code === "ETIMEDOUT"
    ? new RedisFault(
        "gives no answer",
        `Redis at ${name} gives no answer: it hangs, or a firewall is in between. ${remedy}.`,
      )
    : new RedisFault(
        "closes the connection",
        `Redis at ${name} ends the connection without an answer. ${remedy}.`,
      );
}

function refused(message: string, server: Server): RedisFault {
  const { name, setting, passwordSetting } = server;
  const [kind = ""] = message.split(" ");
  switch (kind) {
    case "WRONGPASS":
      return new RedisFault(
        "wrong password",
        `Redis at ${name} does not accept the user and password in ${passwordSetting}. Correct them.`,
      );
    case "NOAUTH":
      return new RedisFault(
        "password missing",
        `Redis at ${name} asks for a password. Put it into ${passwordSetting}${
          passwordSetting === "REDIS_URL" ? `: redis://:password@${name}` : ""
        }.`,
      );
    case "NOPERM":
      return new RedisFault(
        "not permitted",
        passwordSetting === "REDIS_URL"
          ? `The user in REDIS_URL may not ask Redis at ${name} for INFO. Grant it +@all on its keys and channels.`
          : `The sentinel at ${name} does not let this user ask for the primary. Name another one in ` +
              "REDIS_SENTINEL_USER, or grant it +sentinel|get-master-addr-by-name and +sentinel|master.",
      );
    case "LOADING":
      return new RedisFault(
        "still loading",
        `Redis at ${name} is still loading its data. Start again shortly.`,
      );
    default:
      return new RedisFault(
        "will not do",
        `Redis at ${name} refuses: ${message}. Correct ${setting} or its rights.`,
      );
  }
}

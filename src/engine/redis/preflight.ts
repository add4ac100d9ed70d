import { StartError } from "../../base/start-error.ts";
import { openResp, ReplyError } from "./resp.ts";

export interface PreflightOptions {
  readonly url: string;
  readonly ca: string | undefined;
  readonly timeoutMs: number;
}

type Ask = (...words: readonly string[]) => Promise<string | string[]>;

/** The first version with all that the steps use. Valkey tells the Redis version it follows. */
const firstMajor = 7;

/**
 * Looks at Redis before anything relies on it. Throws a `StartError` for what the operator can put
 * right, and answers warnings: what a crash of this Redis would lose, as far as it lets one ask.
 */
export async function checkRedis(options: PreflightOptions): Promise<readonly string[]> {
  const { protocol, hostname, port, username, password } = new URL(options.url);
  const host = hostname.replace(/^\[|\]$/g, "");
  const at = { host, port: Number(port || 6379), name: `${hostname}:${port || 6379}` };
  const secure = protocol === "rediss:";
  let resp: Awaited<ReturnType<typeof openResp>> | undefined;
  try {
    resp = await openResp({ ...at, ...options, tls: secure });
    if (password !== "") {
      const user = username === "" ? [] : [decodeURIComponent(username)];
      await resp.ask("AUTH", ...user, decodeURIComponent(password));
    }
    checkInfo(at.name, String(await resp.ask("INFO")));
    return await warnings(resp.ask);
  } catch (error) {
    throw error instanceof StartError ? error : explained(error, at.name, secure, options.ca);
  } finally {
    resp?.close();
  }
}

function checkInfo(name: string, info: string): void {
  const field = (key: string) => new RegExp(`^${key}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  const version = field("redis_version");
  if (Number.parseInt(version, 10) < firstMajor) {
    throw new StartError(
      `Redis at ${name} is version ${version}, and ${firstMajor}.0 is the first that will do. ` +
        "Upgrade it, or name another one in REDIS_URL.",
    );
  }
  if (field("role") === "slave") {
    throw new StartError(
      `Redis at ${name} is a read-only replica. Name its primary (${field("master_host")}:` +
        `${field("master_port")}) in REDIS_URL.`,
    );
  }
  if (field("cluster_enabled") === "1") {
    throw new StartError(
      `Redis at ${name} is a Redis Cluster. Name a single server in REDIS_URL, with replicas or without.`,
    );
  }
}

async function warnings(ask: Ask): Promise<readonly string[]> {
  const setting = async (name: string) => (await ask("CONFIG", "GET", name))[1] ?? "";
  try {
    const found: string[] = [];
    const loss = whatACrashLoses(await setting("appendonly"), await setting("appendfsync"));
    if (loss !== undefined) found.push(loss);
    const policy = await setting("maxmemory-policy");
    if (policy !== "noeviction" && (await setting("maxmemory")) !== "0") {
      found.push(
        `Redis may throw away rooms and mail when its memory is full (maxmemory-policy ${policy}). ` +
          "Set maxmemory-policy noeviction.",
      );
    }
    return found;
  } catch (error) {
    // Hosted ones often let nobody ask.
    if (error instanceof ReplyError) return [];
    throw error;
  }
}

function whatACrashLoses(appendOnly: string, appendFsync: string): string | undefined {
  const remedy = "Set appendonly yes and appendfsync always to lose nothing that was answered.";
  if (appendOnly !== "yes") {
    return `A crash of Redis loses codes, rooms and mail since its last snapshot, or all of them (appendonly ${appendOnly}). ${remedy}`;
  }
  if (appendFsync === "always") return undefined;
  const span = appendFsync === "everysec" ? "up to two seconds" : "up to half a minute";
  return `A crash of Redis's machine loses the codes, rooms and mail of ${span} (appendfsync ${appendFsync}). ${remedy}`;
}

function explained(error: unknown, name: string, secure: boolean, ca: string | undefined): Error {
  if (error instanceof ReplyError) return refused(error.message, name);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) {
    const remedy = ca === undefined ? "Name its authority's file in" : "Correct";
    return new StartError(
      `The certificate of Redis at ${name} is not trusted (${code}). ${remedy} REDIS_CA_FILE.`,
    );
  }
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|FailedToOpenSocket)$/.test(code)
  ) {
    return new StartError(
      `Redis at ${name} cannot be reached (${code}). Start it, or correct REDIS_URL.`,
    );
  }
  const remedy = secure
    ? "If it does not speak TLS, REDIS_URL has to begin with redis://"
    : "If it expects TLS, REDIS_URL has to begin with rediss://";
  const problem =
    code === "ETIMEDOUT"
      ? "gives no answer: it hangs, or a firewall is in between"
      : "ends the connection without an answer";
  return new StartError(`Redis at ${name} ${problem}. ${remedy}.`);
}

function refused(message: string, name: string): Error {
  const [kind = ""] = message.split(" ");
  switch (kind) {
    case "WRONGPASS":
      return new StartError(
        `Redis at ${name} does not accept the user and password in REDIS_URL. Correct them.`,
      );
    case "NOAUTH":
      return new StartError(
        `Redis at ${name} asks for a password. Put it into REDIS_URL: redis://:password@${name}`,
      );
    case "NOPERM":
      return new StartError(
        `The user in REDIS_URL may not ask Redis at ${name} for INFO. Grant it +@all on its keys and channels.`,
      );
    case "LOADING":
      return new StartError(`Redis at ${name} is still loading its data. Start again shortly.`);
    default:
      return new StartError(
        `Redis at ${name} refuses: ${message}. Correct REDIS_URL or its rights.`,
      );
  }
}

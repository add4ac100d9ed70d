import { type Destination, explained, RedisFault } from "./fault.ts";
import { findPrimary, nameOf, type RedisTarget } from "./primary.ts";
import { openResp, ReplyError } from "./resp.ts";

type Ask = (...words: readonly string[]) => Promise<string | string[]>;

/** The first version with all that the scripts use. Valkey tells the Redis version it follows. */
const firstMajor = 7;

/**
 * Looks at Redis before anything relies on it. Throws a `RedisFault` for what the operator can put
 * right, and answers warnings: what a crash of this Redis would lose, as far as it lets one ask.
 */
export async function checkRedis(
  target: RedisTarget,
  timeoutMs: number,
): Promise<readonly string[]> {
  const url = await findPrimary(target, timeoutMs);
  return converse(url, target, timeoutMs, warnings);
}

/** Why the server at `url` will not do; undefined when it would. Never rejects. */
export function diagnose(
  url: string,
  target: RedisTarget,
  timeoutMs: number,
): Promise<RedisFault | undefined> {
  const nothing = async () => undefined;
  return converse(url, target, timeoutMs, nothing).catch((fault: RedisFault) => fault);
}

/** Rejects with a `RedisFault`. */
async function converse<T>(
  url: string,
  { ca, sentinels }: RedisTarget,
  timeoutMs: number,
  about: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const to: Destination = {
    ...{ name: nameOf(url), ca },
    secure: protocol === "rediss:",
    setting: sentinels === undefined ? "REDIS_URL" : "REDIS_SENTINELS",
    passwordSetting: "REDIS_URL",
  };
  let resp: Awaited<ReturnType<typeof openResp>> | undefined;
  try {
    const host = hostname.replace(/^\[|\]$/g, "");
    resp = await openResp({ host, port: Number(port || 6379), tls: to.secure, ca, timeoutMs });
    if (password !== "") {
      const user = username === "" ? [] : [decodeURIComponent(username)];
      await resp.ask("AUTH", ...user, decodeURIComponent(password));
    }
    if (pathname.length > 1) await resp.ask("SELECT", pathname.slice(1));
    checkInfo(to, String(await resp.ask("INFO")));
    return await about(resp.ask);
  } catch (error) {
    throw explained(error, to);
  } finally {
    resp?.close();
  }
}

function checkInfo({ name, setting }: Destination, info: string): void {
  const field = (key: string) => new RegExp(`^${key}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  const version = field("redis_version");
  if (Number.parseInt(version, 10) < firstMajor) {
    throw new RedisFault(
      "will not do",
      `Redis at ${name} is version ${version}, and ${firstMajor}.0 is the first that will do. ` +
        `Upgrade it, or name another one in ${setting}.`,
    );
  }
  if (field("role") === "slave") {
    const primary = `${field("master_host")}:${field("master_port")}`;
    throw new RedisFault(
      "is a replica",
      setting === "REDIS_URL"
        ? `Redis at ${name} is a read-only replica. Name its primary (${primary}) in REDIS_URL.`
        : `Redis at ${name}, which the sentinels name, is a replica of ${primary} still. A failover may be under way.`,
    );
  }
  if (field("cluster_enabled") === "1") {
    throw new RedisFault(
      "will not do",
      `Redis at ${name} is a Redis Cluster. Name a single server in ${setting}, with replicas or without.`,
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

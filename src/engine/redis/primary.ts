import { loadArguments } from "./library.ts";
import { type Ask, converse, RedisFault, ReplyError, type Server } from "./resp.ts";

/** Where Redis is, from the settings. */
export interface RedisTarget {
  /** Scheme, user, password and database. Host and port are used only without sentinels. */
  readonly url: string;
  /** PEM text of the CA for a `rediss://` server's certificate; undefined: the built-in roots. */
  readonly ca: string | undefined;
  readonly sentinels: SentinelTarget | undefined;
}

interface SentinelTarget {
  /** `host:port` of each, at least one. */
  readonly hosts: readonly string[];
  /** The sentinels' name for the primary and its replicas. */
  readonly name: string;
  /** The sentinels' user; empty for the default user. The primary's user is in the URL. */
  readonly user: string;
  /** The sentinels' password; empty for none. */
  readonly password: string;
}

interface Named {
  readonly host: string;
  readonly port: string;
  /** Grows with every failover. */
  readonly epoch: number;
}

/**
 * The URL of the primary. Asks all sentinels at once, and waits until more than half have answered, or
 * all have answered or failed. Uses the answer with the latest failover: a sentinel that was unreachable
 * during a failover still names the former primary. Rejects with a `RedisFault`.
 */
export async function findPrimary(target: RedisTarget, timeoutMs: number): Promise<string> {
  const { sentinels } = target;
  if (sentinels === undefined) return target.url;
  const { named, faults } = await askAll(target, sentinels, timeoutMs);
  const latest = named.reduce<Named | undefined>(
    (best, one) => (best === undefined || one.epoch > best.epoch ? one : best),
    undefined,
  );
  if (latest === undefined) {
    const said = [...new Set(faults.map(({ message }) => message))].join(" ");
    throw new RedisFault("no primary known", `No sentinel names a primary. ${said}`);
  }
  const url = new URL(target.url);
  url.hostname = latest.host.includes(":") ? `[${latest.host}]` : latest.host;
  url.port = latest.port;
  return url.href;
}

/** `host:port` of a Redis URL, for messages. */
export function nameOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port || 6379}`;
}

function askAll(
  target: RedisTarget,
  sentinels: SentinelTarget,
  timeoutMs: number,
): Promise<{ named: readonly Named[]; faults: readonly RedisFault[] }> {
  const named: Named[] = [];
  const faults: RedisFault[] = [];
  const { hosts } = sentinels;
  return new Promise((resolve) => {
    const settled = () => {
      if (named.length > hosts.length / 2 || named.length + faults.length === hosts.length) {
        resolve({ named, faults });
      }
    };
    for (const host of hosts) {
      askOne(host, target, sentinels, timeoutMs)
        .then(
          (answer) => named.push(answer),
          (fault: RedisFault) => faults.push(fault),
        )
        .finally(settled);
    }
  });
}

async function askOne(
  address: string,
  { url, ca }: RedisTarget,
  { name, user, password }: SentinelTarget,
  timeoutMs: number,
): Promise<Named> {
  const { hostname, port } = new URL(`redis://${address}`);
  const sentinel: Server = {
    name: `${hostname}:${port || 26379}`,
    ...{ host: withoutBrackets(hostname), port: Number(port || 26379) },
    ...{ secure: url.startsWith("rediss:"), ca, user, password },
    setting: "REDIS_SENTINELS",
    passwordSetting:
      "REDIS_SENTINEL_PASSWORD (and in REDIS_SENTINEL_USER, if it is not the default user's)",
  };
  return converse(sentinel, timeoutMs, async (ask) => {
    const [primary, primaryPort] = await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name);
    if (primary === undefined || primaryPort === undefined) {
      throw new RedisFault(
        "no primary known",
        `The sentinel at ${address} knows no primary named ${name}. Correct REDIS_SENTINEL_NAME.`,
      );
    }
    const facts = await ask("SENTINEL", "MASTER", name);
    const epoch = Number(facts[facts.indexOf("config-epoch") + 1]);
    return { host: primary, port: primaryPort, epoch };
  });
}

// ---- checks before use ----

/** The first version with everything the functions use. Valkey reports the Redis version it matches. */
const firstMajor = 7;

/**
 * Checks Redis at start. Rejects with a `RedisFault` that the operator can correct. Returns warnings: what
 * a crash of this Redis would lose, if CONFIG is permitted.
 */
export async function checkRedis(
  target: RedisTarget,
  timeoutMs: number,
): Promise<readonly string[]> {
  const url = await findPrimary(target, timeoutMs);
  return askRedis(url, target, timeoutMs, async (ask) => {
    await ask("FUNCTION", ...loadArguments).catch((error: unknown) => {
      throw error instanceof ReplyError ? (refusedFunctions(error.message) ?? error) : error;
    });
    return warnings(ask);
  });
}

/** Explains why Redis refuses to run functions; undefined for other refusals. */
export function refusedFunctions(refusal: string): RedisFault | undefined {
  if (/^NOPERM/.test(refusal)) {
    return new RedisFault(
      "not permitted",
      `Redis refuses: ${refusal}. Grant the user in REDIS_URL +@all on the keys of REDIS_PREFIX, or what ` +
        "docs/cluster.md lists.",
    );
  }
  if (!/unknown command.*(FUNCTION|FCALL)/i.test(refusal)) return undefined;
  return new RedisFault(
    "will not do",
    "Redis has no FUNCTION and FCALL, which nt-signal needs. Redis 7 and Valkey have them: enable them if " +
      "the configuration renamed them, or name another server.",
  );
}

/** Why the server at `url` cannot be used; undefined if it can. Never rejects. */
export function diagnose(
  url: string,
  target: RedisTarget,
  timeoutMs: number,
): Promise<RedisFault | undefined> {
  const nothing = async () => undefined;
  return askRedis(url, target, timeoutMs, nothing).catch((fault: RedisFault) => fault);
}

/** Rejects with a `RedisFault`. */
async function askRedis<T>(
  url: string,
  { ca, sentinels }: RedisTarget,
  timeoutMs: number,
  about: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const setting = sentinels === undefined ? "REDIS_URL" : "REDIS_SENTINELS";
  const server: Server = {
    ...{ name: nameOf(url), host: withoutBrackets(hostname), port: Number(port || 6379) },
    ...{ secure: protocol === "rediss:", ca },
    ...{ user: decodeURIComponent(username), password: decodeURIComponent(password) },
    ...{ setting, passwordSetting: "REDIS_URL" },
  };
  return converse(server, timeoutMs, async (ask) => {
    if (pathname.length > 1) await ask("SELECT", pathname.slice(1));
    checkInfo(nameOf(url), setting, String(await ask("INFO")));
    return about(ask);
  });
}

function checkInfo(name: string, setting: string, info: string): void {
  const field = (key: string) => new RegExp(`^${key}:(.*?)\r?$`, "m").exec(info)?.[1] ?? "";
  const version = field("redis_version");
  if (Number.parseInt(version, 10) < firstMajor) {
    throw new RedisFault(
      "will not do",
      `Redis at ${name} is version ${version}, but at least ${firstMajor}.0 is required. ` +
        `Upgrade it, or name another server in ${setting}.`,
    );
  }
  if (field("role") === "slave") {
    const primary = `${field("master_host")}:${field("master_port")}`;
    throw new RedisFault(
      "is a replica",
      setting === "REDIS_URL"
        ? `Redis at ${name} is a read-only replica. Name its primary (${primary}) in REDIS_URL.`
        : `The sentinels name Redis at ${name}, but it is still a replica of ${primary}. A failover may be under way.`,
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
        `Redis may delete rooms and mail when its memory is full (maxmemory-policy ${policy}). ` +
          "Set maxmemory-policy noeviction.",
      );
    }
    return found;
  } catch (error) {
    // Hosted servers often refuse CONFIG.
    if (error instanceof ReplyError) return [];
    throw error;
  }
}

function whatACrashLoses(appendOnly: string, appendFsync: string): string | undefined {
  const remedy = "Set appendonly yes and appendfsync always to lose no confirmed change.";
  if (appendOnly !== "yes") {
    return `A crash of Redis loses codes, rooms and mail since its last snapshot, or all of them (appendonly ${appendOnly}). ${remedy}`;
  }
  if (appendFsync === "always") return undefined;
  const span = appendFsync === "everysec" ? "up to two seconds" : "up to half a minute";
  return `A crash of Redis's machine loses the codes, rooms and mail of ${span} (appendfsync ${appendFsync}). ${remedy}`;
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

import { type Destination, explained, RedisFault } from "./fault.ts";
import { openResp } from "./resp.ts";

/** Where Redis is, as the operator tells it. */
export interface RedisTarget {
  /** Scheme, user, password and database. Its host and port only where there are no sentinels. */
  readonly url: string;
  /** PEM text that a `rediss://` server's certificate is checked against; undefined: the usual roots. */
  readonly ca: string | undefined;
  readonly sentinels: SentinelTarget | undefined;
}

export interface SentinelTarget {
  /** `host:port` of each, at least one. */
  readonly hosts: readonly string[];
  /** What they call the primary and its replicas. */
  readonly name: string;
  /** Theirs; empty for none. The primary's stands in the URL. */
  readonly password: string;
}

interface Named {
  readonly host: string;
  readonly port: string;
  /** Grows with every failover. */
  readonly epoch: number;
}

/**
 * The URL of the primary. Sentinels are all asked at once; as soon as most of them have answered (or
 * all have answered or failed) the answer of the latest failover counts: a sentinel that was cut off
 * during one names a primary that is none any more. Rejects with a `RedisFault`.
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
  { name, password }: SentinelTarget,
  timeoutMs: number,
): Promise<Named> {
  const { hostname, port } = new URL(`redis://${address}`);
  const secure = url.startsWith("rediss:");
  const to: Destination = {
    ...{ name: address, secure, ca },
    setting: "REDIS_SENTINELS",
    passwordSetting: "REDIS_SENTINEL_PASSWORD",
  };
  let resp: Awaited<ReturnType<typeof openResp>> | undefined;
  try {
    const host = hostname.replace(/^\[|\]$/g, "");
    resp = await openResp({ host, port: Number(port || 26379), tls: secure, ca, timeoutMs });
    if (password !== "") await resp.ask("AUTH", password);
    const [primary, primaryPort] = await resp.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name);
    if (primary === undefined || primaryPort === undefined) {
      throw new RedisFault(
        "no primary known",
        `The sentinel at ${address} knows no primary named ${name}. Correct REDIS_SENTINEL_NAME.`,
      );
    }
    const facts = await resp.ask("SENTINEL", "MASTER", name);
    const epoch = Number(facts[facts.indexOf("config-epoch") + 1]);
    return { host: primary, port: primaryPort, epoch };
  } catch (error) {
    throw explained(error, to);
  } finally {
    resp?.close();
  }
}

import { rssBytes } from "../bench/process-facts.ts";
import { scrape } from "../support/metrics.ts";
import { Program } from "../support/program.ts";
import { RawClient, type RawClientOptions } from "../support/raw-client.ts";

/** What the budgets count, by the gauges that tell it. */
const budgetGauges = [
  "nt_mailbox_bytes",
  "nt_mail_id_bytes",
  "nt_held_bytes",
  "nt_stream_bytes",
  "nt_ws_queued_bytes",
  "nt_ws_buffered_bytes",
] as const;

/** The server under attack, a process of its own. */
export interface Target extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly http: string;
  readonly ws: string;
  readonly program: Program;
  /** The value of a series; 0 when it is not there. */
  metric(series: string): Promise<number>;
  /** Bytes that its budgets count. */
  counted(): Promise<number>;
  rss(): number;
}

/** Started with an operator's settings; whatever is not told has its default. */
export async function startTarget(
  env: Readonly<Record<string, string>> = {},
  host = "127.0.0.1",
): Promise<Target> {
  const program = await Program.start({ LOG_FORMAT: "json", ...env });
  const { port } = await program.listening();
  const http = `http://${host}:${port}`;

  // The first scrape loads the metrics: what they take is nobody's attack.
  await scrape(http);
  return {
    pid: program.pid,
    port: Number(port),
    http,
    ws: `ws://${host}:${port}`,
    program,
    metric: async (series) => (await scrape(http)).get(series) ?? 0,
    async counted() {
      const series = await scrape(http);
      return budgetGauges.reduce((sum, name) => sum + (series.get(name) ?? 0), 0);
    },
    rss: () => rssBytes(program.pid),
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

// ---- who attacks ----

/** Seen as coming from this address, by a server that trusts loopback to be its proxy. */
export function from(address: string): Readonly<Record<string, string>> {
  return { "X-Forwarded-For": address };
}

/** Addresses of strangers: the n-th of 198.18.0.0/15, which stands for networks under test. */
export function stranger(n: number): string {
  return `198.${18 + ((n >> 16) & 1)}.${(n >> 8) & 255}.${n & 255}`;
}

/** A socket, or undefined where it is refused. */
export async function tryOpen(
  target: Pick<Target, "ws">,
  options: RawClientOptions,
): Promise<RawClient | undefined> {
  try {
    return await RawClient.open(target.ws, options);
  } catch {
    return undefined;
  }
}

export function postJson(
  target: Pick<Target, "http">,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${target.http}/rendezvous/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** The code, or undefined where minting is refused. */
export async function mint(
  target: Pick<Target, "http">,
  headers: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const answer = await postJson(target, "code", {}, headers);
  const body = (await answer.json()) as { readonly code: string };
  return answer.status === 200 ? body.code : undefined;
}

// ---- how ----

/** Does it for each item, so many at a time, until `until` (ms, of `performance.now()`) at most. */
export async function eachOf<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  until = Number.POSITIVE_INFINITY,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = left.next(); !next.done; next = left.next()) {
      if (performance.now() > until) return;
      await work(next.value);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

export function* upTo(count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}

export const kib = 1_024;
export const mib = 1_048_576;

export function inMib(bytes: number): string {
  return `${(bytes / mib).toFixed(0)} MiB`;
}

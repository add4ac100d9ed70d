import { readConfig } from "../../src/config/config.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/server/server.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { scrape } from "./metrics.ts";
import { until } from "./waiting.ts";

export interface TestServer extends RunningServer, AsyncDisposable {
  readonly http: string;
  readonly ws: string;
  readonly logLines: readonly string[];
  mint(body?: unknown): Promise<Minted>;
  redeem(code: string): Promise<Response>;
  /** The value of one series of `/metrics`, 0 when it is not there. */
  metric(series: string): Promise<number>;
  /** Waits until the series has a value that `is` accepts; for what no client can see. */
  metricBecomes(series: string, is: (value: number) => boolean): Promise<number>;
}

export interface Minted {
  readonly code: string;
  readonly appID: string;
  readonly expiresAt: string;
}

/**
 * The real server on a free port, with configuration as an operator would write it. Its metrics are
 * made anew whenever they are asked for, so that a test sees what it has just done.
 */
export async function testServer(
  env: Record<string, string> = {},
  options: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const read = readConfig({ HOST: "127.0.0.1", PORT: "0", LOG_LEVEL: "debug", ...env });
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  const logLines: string[] = [];
  const log = createLog({
    level: read.config.logLevel,
    write: (line) => logLines.push(line),
    now: Date.now,
  });
  const server = await startServer(read.config, { log, metricsAgeMs: 0, ...options });
  const scheme = read.config.tlsCertFile === "" ? "" : "s";
  const http = `http${scheme}://127.0.0.1:${server.port}`;
  const post = (path: string, body: unknown) =>
    fetch(http + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      tls: { rejectUnauthorized: false },
    });
  const metric = async (series: string) =>
    (await scrape(http, read.config.metricsRoute)).get(series) ?? 0;
  return {
    ...server,
    http,
    ws: `ws${scheme}://127.0.0.1:${server.port}`,
    logLines,
    async mint(body = {}) {
      const answer = await post("/rendezvous/code", body);
      if (answer.status !== 200) throw new Error(`mint: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as Minted;
    },
    redeem: (code) => post("/rendezvous/redeem", { code }),
    metric,
    metricBecomes: (series, is) =>
      until(`${series} to change`, async () => {
        const value = await metric(series);
        return is(value) && value;
      }),
    [Symbol.asyncDispose]: async () => {
      await server.stop();
    },
  };
}

import { type Hearing, LoadSocket } from "../bench/load-socket.ts";
import { scrape } from "../support/metrics.ts";
import { until } from "../support/waiting.ts";
import type { Scenario } from "./scenario.ts";
import { startServer } from "./server.ts";

/** Everybody at once, as after an outage: all get their seats. */
export const storm: Scenario = async ({ short, say }) => {
  const count = short ? 1_000 : 10_000;
  await using server = await startServer();
  let opened = 0;
  let full = 0;
  let failed = 0;
  const hearing: Hearing = {
    opened() {
      opened++;
    },
    text() {
      full++;
    },
    closed() {
      failed++;
    },
  };
  const sockets = Array.from({ length: count / 2 }, () => crypto.randomUUID()).flatMap((appId) =>
    (["A", "B"] as const).map(
      (side) => new LoadSocket({ port: server.port, appId, side }, hearing),
    ),
  );
  const startedAt = performance.now();
  for (const socket of sockets) socket.connect();
  await until(
    `${count} sockets in full rooms`,
    () => {
      if (failed > 0) throw new Error(`${failed} connections failed`);
      return opened === count && full >= count;
    },
    60_000,
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  say(`${count} connections in one go: all are in full rooms after ${seconds.toFixed(2)} s`);
  const peers = (await scrape(server.http)).get("nt_peers_active");
  if (peers !== count || full !== count) {
    throw new Error(`${peers} peers and ${full} room_full, not ${count}`);
  }
  for (const socket of sockets) socket.terminate();
};

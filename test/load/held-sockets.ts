import { rssBytes } from "../bench/process-facts.ts";
import { scrape } from "../support/metrics.ts";
import { pacedPairs } from "./paced-pairs.ts";
import type { Scenario } from "./scenario.ts";
import { startServer } from "./server.ts";
import { told } from "./stalled-readers.ts";

/** As many sockets as an open-file limit of 20,000 has space for, with relays running on all. */
export const heldSockets: Scenario = async ({ short, say }) => {
  const sockets = short ? 400 : 19_000;
  const [rate, seconds] = short ? [500, 0.5] : [5_000, 15];
  await using server = await startServer({ MAX_SOCKETS: String(sockets + 100) });
  using pairs = await pacedPairs(server.port, sockets / 2);
  await pairs.talk(rate, seconds / 5);
  say(`${sockets} sockets: ${told(await pairs.talk(rate, seconds))} (aim: p99 ≤ 5 ms)`);
  const open = (await scrape(server.http)).get("nt_ws_open");
  if (open !== sockets) throw new Error(`${open} sockets are open, not ${sockets}`);
  say(`memory ${(rssBytes(server.pid) / 1e6).toFixed(0)} MB`);
};

/**
 * How long it takes from a typed code to an open data channel: two Chromium pages of another origin,
 * TLS, a network that takes half of `--trip` ms in each direction, and one trip more to connect. The
 * peers' own connection is not delayed. Writes the table of docs/performance.md with --write.
 *
 *     bun test/bench/code-to-channel.ts [--trips 20,100,200] [--times 9] [--write]
 */
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { writeSection } from "../../docs/generate.ts";
import { selfSigned } from "../support/certificate.ts";
import { requireProgram } from "../support/program.ts";
import { startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";

const { values } = parseArgs({
  options: {
    trips: { type: "string", default: "20,100,200" },
    times: { type: "string", default: "9" },
    write: { type: "boolean", default: false },
  },
});

/** What a page does, from what the measuring begins with. Each leaves `window.ms`. */
const ways = {
  "mint, on an open socket": `
    const client = new SignalingClient({ url });
    await opened(client);
    const from = performance.now();
    await client.mint();
    ms = performance.now() - from;`,
  "code to channel, no socket open yet": `
    const from = performance.now();
    const peer = await connect({ url, code });
    await isOpen(peer.channel("chat"));
    ms = performance.now() - from;`,
  "code to channel, socket open while the code was typed": `
    const client = new SignalingClient({ url });
    await opened(client);
    const from = performance.now();
    const peer = await connect({ url, code, client });
    await isOpen(peer.channel("chat"));
    ms = performance.now() - from;`,
} as const;

const html = (server: string) => `<!doctype html><script type="module">
  import * as peer from "${server}/peer.js";
  import { SignalingClient } from "${server}/client.js";
  Object.assign(window, peer, { SignalingClient, url: "${server}" });
  window.opened = (client) => new Promise((resolve) => {
    client.on.state = (state) => state === "open" && resolve();
  });
  window.isOpen = (channel) => new Promise((resolve) => (channel.onopen = resolve));
  window.ready = true;
</script>`;

async function main(): Promise<void> {
  const trips = values.trips.split(",").map(Number);
  await using certificate = await selfSigned();
  const { certFile: TLS_CERT_FILE, keyFile: TLS_KEY_FILE } = certificate;
  const limits = { CODES_PER_CLIENT: "0", SOCKETS_PER_CLIENT: "0", REDEEM_FAILURES: "0" };
  await using server = await testServer({ TLS_CERT_FILE, TLS_KEY_FILE, ...limits });
  const browser = await chromium.launch({
    executablePath: requireProgram("chromium").path,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-features=WebRtcHideLocalIpsWithMdns"],
      // Accepted at once: by the option of a context it is refused first, and connected to anew.
      "--ignore-certificate-errors",
    ],
  });
  const figures = new Map<string, number[]>();
  for (const trip of trips) {
    await using network = startProxy(server.port, trip / 2);
    const url = `https://localhost:${network.port}`;
    const pages = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(html(url), { headers: { "content-type": "text/html" } }),
    });
    for (const [way, source] of Object.entries(ways)) {
      const all: number[] = [];
      for (let i = 0; i < Number(values.times); i++) {
        const context = await browser.newContext();
        const [ann, bob] = [await context.newPage(), await context.newPage()];
        for (const page of [ann, bob]) {
          await page.goto(`http://localhost:${pages.port}/`);
          await page.waitForFunction("window.ready");
        }
        const code = await ann.evaluate<string>(`connect({ url }).then((peer) => {
          window.current = peer;
          peer.channel("chat");
          return peer.code;
        })`);
        // The host's candidates are at the server before anybody has typed the code.
        await ann.waitForFunction(
          `current.connection?.iceGatheringState === "complete" && current.client.mails.length === 0`,
        );
        all.push(
          await bob.evaluate<number>(
            `(async () => { let ms; const code = "${code}"; ${source} return ms; })()`,
          ),
        );
        await context.close();
      }
      all.sort((a, b) => a - b);
      const median = all[all.length >> 1] ?? 0;
      figures.set(way, [...(figures.get(way) ?? []), median]);
      process.stderr.write(`${trip} ms: ${way}: ${Math.round(median)} ms\n`);
    }
    await pages.stop(true);
  }
  await browser.close();
  const head = `| | ${trips.map((trip) => `${trip} ms a round trip`).join(" | ")} |`;
  const rows = [...figures].map(
    ([way, all]) =>
      `| ${way} | ${all.map((ms, i) => `${Math.round(ms)} ms (${(ms / (trips[i] ?? 1)).toFixed(1)})`).join(" | ")} |`,
  );
  const table = [head, `| --- |${" --- |".repeat(trips.length)}`, ...rows].join("\n");
  process.stdout.write(`${table}\n`);
  if (values.write) await writeSection("performance.md", "code-to-channel", table);
}

await main();
process.exit(0);

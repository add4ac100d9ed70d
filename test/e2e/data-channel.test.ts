import { expect, test } from "bun:test";
import { join } from "node:path";
import { noBrowser, openBrowser } from "../support/browser.ts";
import { testServer } from "../support/server.ts";

const example = Bun.file(join(import.meta.dir, "../../docs/data-channel.js"));

/** A site of its own with the example, which gets the client from the server's /client.js. */
function site(server: string) {
  const imports = JSON.stringify({ imports: { "nt-signal/client": `${server}/client.js` } });
  const html = `<!doctype html><script type="importmap">${imports}</script>`;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: {
      "/": () => new Response(html, { headers: { "content-type": "text/html" } }),
      "/data-channel.js": () => new Response(example),
    },
  });
}

test.skipIf(noBrowser)("the example opens a data channel between two browsers", async () => {
  await using server = await testServer();
  await using browser = await openBrowser();
  const pages = site(server.http);
  try {
    const [ann, bob] = await Promise.all([
      browser.person(pages.url.href),
      browser.person(pages.url.href),
    ]);
    const url = JSON.stringify(server.http);
    const code: string = await ann.page.evaluate(`import("/data-channel.js").then(({ invite }) =>
      new Promise((told) => { globalThis.channel = invite(${url}, told); }))`);
    const heard = ann.page.evaluate(`channel.then((open) =>
      new Promise((told) => { open.onmessage = ({ data }) => told(data); }))`);
    await bob.page.evaluate(`import("/data-channel.js").then(async ({ join }) => {
      globalThis.channel = await join(${url}, ${JSON.stringify(code)});
      channel.send("Hello, Ann");
    })`);
    expect(await heard).toBe("Hello, Ann");
    await Promise.all([ann.leave(), bob.leave()]);
  } finally {
    await pages.stop(true);
  }
});

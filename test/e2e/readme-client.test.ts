import { expect, test } from "bun:test";
import { join } from "node:path";
import { noBrowser, TestBrowser } from "../support/browser.ts";
import { testServer } from "../support/server.ts";

test.skipIf(noBrowser)("the README's client connects two pages, as it stands there", async () => {
  const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();
  const section = readme.slice(readme.indexOf("## A client in ten lines"));
  const code = /```js\n([\s\S]*?)```/.exec(section)?.[1] ?? "";
  await using server = await testServer();
  const chat = code.replaceAll("http://localhost:1234", server.http);
  expect(chat).toContain(`${server.http}/peer.js`);
  const types = { "/chat.js": "text/javascript", "/": "text/html" } as const;
  const html = `<!doctype html><script type="module">
    import { chat } from "/chat.js";
    window.begin = (code) => chat("${server.http}", {
      code,
      show: (made) => (document.title = made),
      heard: ({ length, ...data }) => (document.body.textContent = Object.values(data).join("")),
    });
  </script><body></body>`;
  await using pages = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const path = new URL(request.url).pathname as keyof typeof types;
      const headers = { "content-type": types[path] ?? "text/plain" };
      return new Response(path === "/" ? html : chat, { headers });
    },
  });
  await using browser = new TestBrowser();
  const [ann, bob] = [await browser.person(pages.url.href), await browser.person(pages.url.href)];
  for (const { page } of [ann, bob]) await page.waitForFunction("window.begin");
  await ann.page.evaluate("void begin()");
  await ann.page.waitForFunction("document.title");
  await bob.page.evaluate(`void begin(${JSON.stringify(await ann.page.title())})`);
  const says = (person: typeof ann, text: string) =>
    person.page.waitForFunction(`document.body.textContent === ${JSON.stringify(text)}`);
  await Promise.all([says(ann, "Hello from side B"), says(bob, "Hello from side A")]);
});

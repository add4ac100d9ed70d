import { expect, test } from "bun:test";
import { noBrowser, TestBrowser } from "../support/browser.ts";
import { temporaryFolder } from "../support/folder.ts";
import { testServer } from "../support/server.ts";

/** What a page says of a call with a header of its own, and of a socket. */
const calls = `async ([http, ws]) => {
  const headers = { "content-type": "application/json", traceparent: "00-0-0-01" };
  const minted = await fetch(http + "/rendezvous/code", { method: "POST", headers, body: "{}" })
    .then((answer) => answer.status, () => "blocked");
  const socket = new WebSocket(ws + "/ws?side=A&appID=" + crypto.randomUUID());
  const opened = await new Promise((resolve) => {
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
  });
  return [minted, opened];
}`;

test.skipIf(noBrowser)(
  "a page opened from a file may use the server if file:// is listed",
  async () => {
    await using folder = await temporaryFolder();
    await Bun.write(folder.at("page.html"), "<title>A page</title>");
    await using browser = new TestBrowser();
    const person = await browser.person(`file://${folder.path}/page.html`);
    const tries = async (list: string) => {
      await using server = await testServer({ CORS_ORIGINS: list });
      return await person.page.evaluate(`(${calls})(${JSON.stringify([server.http, server.ws])})`);
    };
    expect(await tries("file://")).toEqual([200, "open"]);
    expect(await tries("https://app.example.com")).toEqual(["blocked", "refused"]);
  },
);

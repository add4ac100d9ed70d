import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { noBrowser, openBrowser, type Person, type TestBrowser } from "../support/browser.ts";
import { startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";

/** An application of its own origin; it has the library from the server, and `peer` when connected. */
function application(server: string) {
  const html = `<!doctype html><meta charset="utf-8"><script type="module">
    import { connect } from "${server}/peer.js";
    window.states = [];
    window.heard = [];
    window.tracks = [];
    window.begin = async (options) => {
      const saved = JSON.parse(sessionStorage.room ?? "{}");
      window.peer = await connect({
        url: "${server}", ...saved, ...options,
        on: {
          state: (state) => states.push(state),
          connection: (connection) => connection.ontrack = ({ track }) => tracks.push(track.kind),
        },
      });
      const { appId, side, sid } = peer.client;
      sessionStorage.room = JSON.stringify({ appId, side, sid });
      peer.closed.then((closed) => (window.over = closed.why));
      peer.channel("chat").onmessage = (data) => heard.push(data);
      return peer.code;
    };
    window.ready = true;
  </script>`;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(html, { headers: { "content-type": "text/html" } }),
  });
}

describe.skipIf(noBrowser)("nt-signal-client/peer, between two browsers", () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  const until = (person: Person, what: string) => person.page.waitForFunction(what);
  const begin = async (person: Person, options: object = {}): Promise<string> => {
    await until(person, "window.ready");
    return person.page.evaluate(`begin(${JSON.stringify(options)})`);
  };
  const connected = (person: Person) => until(person, 'window.peer?.state === "connected"');
  const over = async (person: Person) => {
    await until(person, "window.over");
    return person.page.evaluate("window.over");
  };

  /** One says it until the other has heard it: a channel opens anew with its connection. */
  async function says(from: Person, to: Person, text: string): Promise<void> {
    await until(from, `window.peer.channel("chat").send(${JSON.stringify(text)})`);
    await until(to, `window.heard.includes(${JSON.stringify(text)})`);
  }

  async function talk(ann: Person, bob: Person, about: string): Promise<void> {
    await Promise.all([connected(ann), connected(bob)]);
    await says(ann, bob, `Ann, ${about}`);
    await says(bob, ann, `Bob, ${about}`);
  }

  /** Two who found each other by a code, over a network of the test's own. */
  async function pair(url: string) {
    const pages = application(url);
    const [ann, bob] = await Promise.all([
      browser.person(pages.url.href),
      browser.person(pages.url.href),
    ]);
    await begin(bob, { code: await begin(ann) });
    await talk(ann, bob, "first");
    return {
      ann,
      bob,
      async [Symbol.asyncDispose]() {
        await Promise.all([ann.leave(), bob.leave()]);
        await pages.stop(true);
      },
    };
  }

  test("one makes a code, the other enters it, and they talk", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    expect(await people.ann.page.evaluate("states")).toEqual(["connecting", "connected"]);
  });

  test("a wrong code is refused, and says so", async () => {
    await using server = await testServer();
    const pages = application(server.http);
    const ann = await browser.person(pages.url.href);
    expect(await begin(ann, { code: "0000" }).catch(String)).toContain("unknown, used or expired");
    await ann.leave();
    await pages.stop(true);
  });

  test("a page that is reloaded, on either side, is connected again", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    const { ann, bob } = people;
    for (const [who, name] of [
      [bob, "Bob"],
      [ann, "Ann"],
    ] as const) {
      await who.page.reload();
      await begin(who);
      await talk(ann, bob, `${name} reloaded`);
    }
  });

  test("who says goodbye has left, and the other side knows", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    await people.bob.page.evaluate("peer.close()");
    expect(await over(people.ann)).toBe("left");
    expect(await over(people.bob)).toBe("closed");
    expect(await people.ann.page.evaluate("peer.state")).toBe("closed");
  });

  test("whose page crashes is lost, and not gone: the other side waits for it", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    const { ann, bob } = people;
    await bob.page.goto("about:blank");
    await until(ann, 'peer.state === "reconnecting"');
    await bob.page.goBack();
    await begin(bob);
    await talk(ann, bob, "back");
  });

  test("a server that restarts disturbs no connection, and is there for the next one", async () => {
    await using first = await testServer();
    await using network = await startProxy(first.port);
    await using people = await pair(network.http);
    const { ann, bob } = people;
    await first.stop();
    await using second = await testServer();
    network.redirect(second.port);
    await talk(ann, bob, "without a server");
    await Promise.all([ann, bob].map((who) => until(who, 'peer.client.state === "online"')));
    await bob.page.reload();
    await begin(bob);
    await talk(ann, bob, "by the new server");
  });

  test("tracks may be added later, by both sides at once", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    const { ann, bob } = people;
    const add = `{
      const canvas = document.createElement("canvas");
      canvas.getContext("2d");
      const stream = canvas.captureStream(5);
      peer.connection.addTrack(stream.getTracks()[0], stream);
    }`;
    await Promise.all([ann.page.evaluate(add), bob.page.evaluate(add)]);
    await Promise.all([until(ann, "tracks.length > 0"), until(bob, "tracks.length > 0")]);
    await talk(ann, bob, "with pictures");
  });
});

import { expect, test } from "bun:test";
import { join } from "node:path";
import { describeInBrowser, type Person } from "../support/browser.ts";
import { PeerPeople } from "../support/peer-app.ts";
import { startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";

const until = (person: Person, what: string) => person.page.waitForFunction(what);

test("a runtime without RTCPeerConnection is told so before a code is made", async () => {
  await using server = await testServer();
  // Its types need a browser's.
  const peer: string = join(import.meta.dir, "../../src/client/peer.ts");
  const { connect }: { connect(options: object): Promise<unknown> } = await import(peer);
  await expect(connect({ url: server.http })).rejects.toThrow(
    "This runtime has no RTCPeerConnection",
  );
  expect(await server.metric("nt_codes_minted_total")).toBe(0);
});

describeInBrowser("nt-signal-client/peer, between two browsers", (browser) => {
  const pair = async (url: string) => (await PeerPeople.at(browser, url)).pair();

  test("one makes a code, the other enters it, and they talk", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    expect(await people.ann.page.evaluate("states")).toEqual(["connecting", "connected"]);
  });

  test("a configuration that cannot be used ends it, and says so", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    await people.begin(people.ann, { rtc: { iceServers: [{ urls: "nonsense:" }] } });
    expect(await people.over(people.ann)).toBe("invalid");
  });

  test("what a listener throws is reported, and disturbs nothing", async () => {
    await using server = await testServer();
    const script = `Object.defineProperty(RTCPeerConnection.prototype, "ontrack", {
      set() { throw new Error("of the application's own"); },
    });`;
    await using people = await PeerPeople.at(browser, server.http, script);
    await people.pair();
    expect(people.ann.complaints.join()).toContain("of the application's own");
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
      await people.begin(who);
      await people.talk(`${name} reloaded`);
    }
  });

  test("who says goodbye has left, and the other side knows", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    await people.bob.page.evaluate("peer.close()");
    expect(await people.over(people.ann)).toBe("left");
    expect(await people.over(people.bob)).toBe("closed");
    expect(await people.ann.page.evaluate("peer.state")).toBe("closed");
  });

  test("whose page crashes is lost, and not gone: the other side waits for it", async () => {
    await using server = await testServer();
    await using people = await pair(server.http);
    const { ann, bob } = people;
    await bob.page.goto("about:blank");
    await until(ann, 'peer.state === "reconnecting"');
    await bob.page.goBack();
    await people.begin(bob);
    await people.talk("back");
  });

  test("a server that restarts disturbs no connection, and is there for the next one", async () => {
    await using first = await testServer();
    await using network = await startProxy(first.port);
    await using people = await pair(network.http);
    const { bob } = people;
    await first.stop();
    await using second = await testServer();
    network.redirect(second.port);
    await people.talk("without a server");
    await people.both((who) => until(who, 'peer.client.state === "online"'));
    await bob.page.reload();
    await people.begin(bob);
    await people.talk("by the new server");
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { describeInBrowser, type Person } from "../support/browser.ts";
import { PeerPeople } from "../support/peer-app.ts";
import { startProxy } from "../support/proxy.ts";
import { testServer } from "../support/server.ts";
import { noTurn, TurnServer } from "../support/turn-server.ts";

const until = (person: Person, what: string) => person.page.waitForFunction(what);

describeInBrowser("nt-signal-client/peer, where networks fail", (browser) => {
  describe.skipIf(noTurn)("with TURN", () => {
    const secret = "s".repeat(16);
    let turn: TurnServer;
    beforeAll(async () => {
      turn = await TurnServer.start(secret);
    });
    afterAll(() => turn[Symbol.asyncDispose]());

    const turnServer = (env = {}) =>
      testServer({ TURN_URLS: turn.url("udp"), TURN_SECRET: secret, ...env });

    test("a network that is lost for both, signaling and data, comes back", async () => {
      await using server = await turnServer();
      await using network = startProxy(server.port);
      await using people = await PeerPeople.at(browser, network.http);
      await people.pair({
        ...{ rtc: { iceTransportPolicy: "relay" }, pingMs: 1_000, answerMs: 2_000 },
      });
      network.down("silent");
      turn.silence(true);
      await people.both((who) => until(who, 'peer.state === "reconnecting"'));
      await people.both((who) => until(who, 'servers.includes("retrying")'));
      turn.silence(false);
      network.up();
      await people.talk("again");
    }, 60_000);

    test("TURN has its turn as soon as it is to be had", async () => {
      await using server = await turnServer();
      // Each browser takes what came through TURN alone; Ann's early offer has nothing of that kind.
      const script = `
        const Native = RTCPeerConnection;
        window.RTCPeerConnection = class extends Native {
          constructor(options) {
            super(options);
            this.addEventListener("icecandidate", ({ candidate }) => {
              this.hasRelay ||= candidate?.type === "relay";
            });
          }
          /** A candidate that leads nowhere, in place of one that would do without Ann's TURN. */
          blocked(text) {
            return text.replace(/^((?:a=)?candidate:(?:\\S+ ){4})\\S+ \\S+(?= typ (\\w+))/gm, (all, start, type) =>
              this.hasRelay && type === "relay" ? all : start + "127.0.0.1 1025");
          }
          addIceCandidate(candidate) {
            return super.addIceCandidate(candidate && { ...candidate, candidate: this.blocked(candidate.candidate) });
          }
          setRemoteDescription({ type, sdp }) {
            return super.setRemoteDescription({ type, sdp: this.blocked(sdp) });
          }
        };`;
      await using people = await PeerPeople.at(browser, server.http, script);
      await people.pair();
    }, 60_000);
  });

  test("what was negotiated on a socket that broke unnoticed is negotiated again", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    await using people = await PeerPeople.at(browser, network.http);
    const { ann, bob } = await people.pair();
    for (const connection of network.connections) connection.cut("silent");
    await people.both((who) => who.page.evaluate("addTrack()"));
    await people.both((who) => until(who, 'peer.connection.signalingState !== "stable"'));
    await people.both((who) => who.page.evaluate("peer.client.reconnect()"));
    await Promise.all([until(ann, "tracks.length > 0"), until(bob, "tracks.length > 0")]);
    await people.talk("with pictures");
  }, 60_000);

  test("who closes while it waits alone is known to have left, by who comes later", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = people;
    const code = await people.begin(ann);
    await until(ann, "peer.connection?.iceGatheringState === 'complete'");
    await ann.page.evaluate("peer.close()");
    await people.begin(bob, { code });
    expect(await people.over(bob)).toBe("left");
  }, 60_000);

  test("who closes at once has left too, on either side", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = people;
    const beginAndClose = async (who: Person, options: object) => {
      await until(who, "window.ready");
      const both = `begin(${JSON.stringify(options)}).then((code) => { peer.close(); return code; })`;
      return who.page.evaluate<string>(both);
    };
    await people.begin(bob, { code: await beginAndClose(ann, {}) });
    expect(await people.over(bob)).toBe("left");
    await people.both((who) => who.page.evaluate("sessionStorage.clear()"));
    await people.both((who) => who.page.reload());
    await beginAndClose(bob, { code: await people.begin(ann) });
    expect(await people.over(ann)).toBe("left");
  }, 60_000);

  test("who closes while the other one reloads is known to have left", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = await people.pair();
    await bob.page.reload();
    await until(ann, 'peer.state === "reconnecting"');
    await ann.page.evaluate("peer.close()");
    await people.begin(bob);
    expect(await people.over(bob)).toBe("left");
  }, 60_000);

  test("who closes without a server is known to have left", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    await using people = await PeerPeople.at(browser, network.http);
    const { ann, bob } = await people.pair();
    network.down("reset");
    await people.both((who) => until(who, 'servers.includes("retrying")'));
    await ann.page.evaluate("peer.close()");
    expect(await people.over(bob)).toBe("left");
  }, 60_000);

  test("both add tracks at the same moment, again and again", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    await people.pair();
    for (let round = 1; round <= 20; round++) {
      await people.both((who) => who.page.evaluate("addTrack()"));
      await people.both((who) => until(who, `tracks.length === ${round}`));
    }
    await people.talk("with pictures");
  }, 60_000);

  test("a side that is reloaded twice in a hurry is connected again", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = await people.pair();
    for (const who of [ann, bob]) {
      for (let times = 0; times < 2; times++) {
        await who.page.reload();
        await until(who, "window.ready");
        await who.page.evaluate("void begin()");
      }
      await people.talk(`${who === ann ? "Ann" : "Bob"} came again`);
    }
  }, 60_000);

  test("both lose the server and the path, and meet at a server with another memory", async () => {
    await using first = await testServer();
    await using second = await testServer();
    await using network = startProxy(first.port);
    await using people = await PeerPeople.at(browser, second.http);
    const url = network.http;
    const { ann } = await people.pair({ url });
    network.down("reset");
    await people.both((who) => until(who, 'servers.includes("retrying")'));
    await ann.page.reload();
    await until(ann, "window.ready");
    await ann.page.evaluate(`void begin({ url: "${url}" })`);
    network.redirect(second.port);
    network.up();
    await people.talk("at the second server");
  }, 60_000);

  test("mail reaches who is away, in order", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = await people.pair();
    await bob.page.goto("about:blank");
    await ann.page.evaluate("Promise.all([peer.send(1), peer.send({ two: 2 }), peer.send(null)])");
    await bob.page.goBack();
    await people.begin(bob);
    await until(bob, "mails.length === 3");
    expect(await bob.page.evaluate("mails")).toEqual([1, { two: 2 }, null]);
  }, 60_000);

  test("a wrong code and then the right one, on a client that was opened early", async () => {
    await using server = await testServer();
    const count = `
      window.listeners = 0;
      for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]]) {
        const real = window[name];
        window[name] = function (type, ...rest) {
          if (type === "online") window.listeners += by;
          return real.call(this, type, ...rest);
        };
      }`;
    await using people = await PeerPeople.at(browser, server.http, count);
    const { ann, bob } = people;
    const code = await people.begin(ann);
    await until(bob, "window.ready");
    await bob.page.evaluate(`window.early = new SignalingClient({ url: "${server.http}" }), 0`);
    const refused = await bob.page.evaluate(
      'begin({ client: early, code: "0000" }).catch(({ code }) => code)',
    );
    expect(refused).toBe("code_gone");
    await bob.page.evaluate(`begin({ client: early, code: "${code}" })`);
    await people.talk("at last");
    await bob.page.evaluate("peer.close()");
    expect(await people.over(ann)).toBe("left");
    expect(await bob.page.evaluate("listeners")).toBe(0);
  }, 60_000);

  test("who waits and gets another network is found where it is now", async () => {
    await using server = await testServer();
    await using people = await PeerPeople.at(browser, server.http);
    const { ann, bob } = people;
    const code = await people.begin(ann);
    await until(ann, "peer.connection");
    await ann.page.evaluate("window.first = peer.connection");
    for (const isOffline of [true, false]) await ann.context.setOffline(isOffline);
    await until(ann, 'peer.connection !== first && peer.client.state === "online"');
    await people.begin(bob, { code });
    await people.talk("at last");
  }, 60_000);

  test("a device that says that it is online again is connected anew", async () => {
    await using server = await testServer();
    await using network = startProxy(server.port);
    await using people = await PeerPeople.at(browser, network.http);
    const { ann } = await people.pair();
    const sockets = network.connections.length;
    network.latest().cut("silent");
    await ann.page.evaluate(
      "window.ice = peer.connection.localDescription.sdp.match(/ice-ufrag:(.*)/)[1]",
    );
    for (const isOffline of [true, false]) await ann.context.setOffline(isOffline);
    await until(ann, "peer.connection.localDescription.sdp.match(/ice-ufrag:(.*)/)[1] !== ice");
    await people.talk("online");
    expect(sockets).toBeGreaterThan(1);
  }, 60_000);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { lanAddresses } from "../../src/base/network.ts";
import { connectedPeople, describeInBrowser } from "../support/browser.ts";
import { type TestServer, testServer } from "../support/server.ts";

describeInBrowser("two people at the page", (browser) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await testServer({ DEV: "false", DEMO: "true" });
  });
  afterAll(() => server.stop());

  test("pair by a code, connect directly and chat both ways, without a complaint", async () => {
    const { ann, bob } = await connectedPeople(browser, server.http);
    await ann.say("From Ann <b>&</b>");
    await bob.sees("From Ann <b>&</b>");
    await bob.say("From Bob");
    await ann.sees("From Bob");
    for (const { step } of [ann, bob].map((person) => ({ step: person.step.bind(person) }))) {
      // Who is checked before its candidate is heard of counts as prflx (RFC 8445 section 7.3.1.3).
      expect(await step("Path", /Direct/)).toMatch(
        /^Direct \((host|prflx) here, (host|prflx) there\)$/,
      );
      await step("ICE candidates", /Here: \d host.*There: \d (host|prflx)/);
      await step("Round trip", /ms/);
    }
    expect(await ann.step("Code", /there/)).toBe("Redeemed there");
    expect([ann.complaints, bob.complaints]).toEqual([[], []]);
    await server.metricBecomes(
      'nt_session_established_total{mode="direct"}',
      (count) => count === 1,
    );
  });

  test("scan a QR code where a phone can open its link, and are told what to do elsewhere", async () => {
    const near = await browser.person(server.http);
    await near.createCode();
    await near.page.getByText("a phone cannot open this address").waitFor();
    expect(await near.page.locator("#qr").isVisible()).toBe(false);
    const far = await browser.person(`http://lan.test:${server.port}`);
    await far.createCode();
    await far.page.locator("#qr svg").waitFor();
    expect(await far.page.locator("#no-qr").isVisible()).toBe(false);
  });

  test("are told at the machine itself, and nowhere else, where a phone finds it", async () => {
    const [lan] = lanAddresses("0.0.0.0", networkInterfaces());
    if (lan === undefined) return;
    await using open = await testServer({ HOST: "0.0.0.0" });
    const ann = await browser.person(open.http);
    const code = await ann.createCode();
    await ann.page.getByText(`http://${lan}:${open.port}/#${code}`).waitFor();
    await ann.page.locator("#qr svg").waitFor();
    await ann.leave();
    for (const headers of [{ host: "tunnel.example.com" }, { "x-forwarded-for": "192.0.2.9" }]) {
      expect(await (await fetch(open.http, { headers })).text()).not.toContain(lan);
    }
    expect(await (await fetch(`http://${lan}:${open.port}`)).text()).not.toContain(lan);
  });

  test("pair over plain HTTP, as on a LAN, where browsers withhold what needs a secure context", async () => {
    const { ann, bob } = await connectedPeople(browser, `http://lan.test:${server.port}`);
    expect(await ann.page.evaluate("isSecureContext")).toBe(false);
    await ann.say("In the open");
    await bob.sees("In the open");
    expect([ann.complaints, bob.complaints]).toEqual([[], []]);
  });
});

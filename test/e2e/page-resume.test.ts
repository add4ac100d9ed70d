import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  connectedPeople,
  noBrowser,
  openBrowser,
  type Person,
  type TestBrowser,
} from "../support/browser.ts";
import { testServer } from "../support/server.ts";

describe.skipIf(noBrowser)("coming back", () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  async function talk(ann: Person, bob: Person, about: string): Promise<void> {
    await ann.say(`${about}, said Ann`);
    await bob.sees(`${about}, said Ann`);
    await bob.say(`${about}, said Bob`);
    await ann.sees(`${about}, said Bob`);
  }

  test("a reloaded tab is the same person again, on either side", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.page.reload();
    await bob.connected();
    await ann.connected();
    await talk(ann, bob, "Bob reloaded");
    await ann.page.reload();
    await ann.connected();
    await bob.connected();
    await talk(ann, bob, "Ann reloaded");
    expect([ann.complaints, bob.complaints]).toEqual([[], []]);
    await Promise.all([ann.leave(), bob.leave()]);
  });

  test("who waits with a code still has it after a reload", async () => {
    await using server = await testServer();
    const ann = await browser.person(server.http);
    const code = await ann.createCode();
    await ann.page.reload();
    await ann.page.locator("#code", { hasText: code }).waitFor();
    const bob = await browser.person(`${server.http}/#${code}`);
    await Promise.all([ann.connected(), bob.connected()]);
    expect(bob.page.url()).toBe(`${server.http}/`);
    await Promise.all([ann.leave(), bob.leave()]);
  });

  test("messages to who is away wait in the mailbox", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.page.goto("about:blank");
    await ann.page.getByRole("heading", { name: "Reconnecting" }).waitFor();
    await ann.say("For later");
    await ann.page.getByText("Left in their mailbox").waitFor();
    await bob.page.goto(server.http);
    await bob.sees("For later");
    await Promise.all([ann.connected(), bob.connected()]);
    await talk(ann, bob, "Back again");
    await Promise.all([ann.leave(), bob.leave()]);
  });

  test("a restarted server costs nothing: the connection stays, and the room comes back", async () => {
    const before = await testServer();
    const { ann, bob } = await connectedPeople(browser, before.http);
    await before.stop();
    await Promise.all([ann.step("Room", /trying again/), bob.step("Room", /trying again/)]);
    await talk(ann, bob, "Without a server");
    await using after = await testServer({ PORT: String(before.port) });
    await Promise.all([ann.step("Room", /Side A/), bob.step("Room", /Side B/)]);
    await talk(ann, bob, "With a new server");
    await bob.page.reload();
    await Promise.all([bob.connected(), ann.connected()]);
    await talk(ann, bob, "Over the new server");
    expect(after.port).toBe(before.port);
    await Promise.all([ann.leave(), bob.leave()]);
  });

  test("a side opened in another tab is told so in the first one", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    const storage = await bob.page.evaluate("sessionStorage.getItem('nt-signal')");
    const other = await bob.context.newPage();
    await other.addInitScript(`sessionStorage.setItem('nt-signal', ${JSON.stringify(storage)})`);
    await other.goto(server.http);
    await bob.page.getByText("was opened in another tab").waitFor();
    await Promise.all([ann.leave(), bob.leave()]);
  });
});

import { expect, test } from "bun:test";
import { connectedPeople, describeInBrowser, type Person } from "../support/browser.ts";
import { testServer } from "../support/server.ts";

describeInBrowser("coming back", (browser) => {
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
  });

  test("a side opened in another tab is told so in the first one", async () => {
    await using server = await testServer();
    const { bob } = await connectedPeople(browser, server.http);
    const storage = await bob.page.evaluate("sessionStorage.getItem('nt-signal')");
    const other = await bob.context.newPage();
    await other.addInitScript(`sessionStorage.setItem('nt-signal', ${JSON.stringify(storage)})`);
    await other.goto(server.http);
    await bob.page.getByText("was opened in another tab").waitFor();
  });

  test("who leaves says so: the other side is told at once, and can start anew", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.say("Goodbye");
    await ann.sees("Goodbye");
    await bob.page.getByRole("button", { name: "Leave" }).click();
    await ann.page.getByRole("heading", { name: "The other side has left" }).waitFor();
    expect(await ann.page.getByLabel("Message", { exact: true }).isDisabled()).toBe(true);
    await ann.sees("Goodbye");
    await ann.page.getByRole("button", { name: "Start again" }).click();
    await bob.enterCode(await ann.createCode());
    await Promise.all([ann.connected(), bob.connected()]);
    await talk(ann, bob, "Anew");
  });

  test("who closes the page is away, also for one who comes back to the room", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.leave();
    const away = ann.page.getByRole("heading", { name: "The other side is away" });
    await away.waitFor();
    await ann.page.reload();
    await away.waitFor();
    await ann.page.getByRole("button", { name: "Start again" }).click();
    await ann.page.locator("#start").waitFor();
  });

  test("a browser that crashed is not connected any more, and mail waits for it", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.crash();
    await ann.step("Other side", /Lost the server/);
    expect(await ann.page.locator("#room-title").textContent()).toBe("Reconnecting");
    await ann.say("After the crash");
    await ann.page.getByText("Left in their mailbox").waitFor();
  });

  test("a message that nothing confirms is marked", async () => {
    const server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    await ann.say("Arrives");
    await bob.sees("Arrives");
    // So that the server cannot tell of the crash.
    await server.stop();
    await bob.crash();
    await ann.say("Into the void");
    await ann.page
      .locator("#messages li", { hasText: "Into the void" })
      .getByText("Not delivered")
      .waitFor();
    expect(await ann.page.getByText("Not delivered").count()).toBe(1);
  });

  test("the focus never stays on what is hidden", async () => {
    await using server = await testServer();
    const { ann, bob } = await connectedPeople(browser, server.http);
    const focused = async () => {
      await ann.page.evaluate("new Promise(requestAnimationFrame)");
      return ann.page.evaluate("document.activeElement.id || document.activeElement.className");
    };
    await ann.sendFile("large", Buffer.alloc(96_000_000));
    await ann.page.getByRole("button", { name: "Cancel large" }).press("Enter");
    await ann.transferEnds("large", "Cancelled");
    expect(await focused()).toBe("room-title");
    await ann.page.getByRole("button", { name: "Send a file" }).focus();
    await bob.page.getByRole("button", { name: "Leave" }).press("Enter");
    await ann.page.getByRole("heading", { name: "The other side has left" }).waitFor();
    expect(await focused()).toBe("room-title");
    await ann.page.getByRole("button", { name: "Start again" }).press("Enter");
    expect(await focused()).toBe("start-title");
    await ann.page.getByRole("button", { name: "Create a code" }).press("Enter");
    await ann.page.getByRole("button", { name: "Cancel" }).press("Enter");
    expect(await focused()).toBe("start-title");
  });
});

import { expect, test } from "bun:test";
import { connectedPeople, describeInBrowser } from "../support/browser.ts";
import { testServer } from "../support/server.ts";

const gone =
  "This code doesn’t work: it was never made, is used up or has expired. Ask for a new one.";

describeInBrowser("a code that doesn't work", (browser) => {
  test("a wrong one is refused in clear words, beside the field, ready for the next try", async () => {
    await using server = await testServer();
    const bob = await browser.person(server.http);
    await bob.enterCode("0000");
    expect(await bob.fault()).toBe(gone);
    await bob.page.locator("#code-field:focus").waitFor();
    await bob.enterCode("12");
    await bob.page.getByText("A code has 4 to 8 digits.").waitFor();
  });

  test("a used one is refused to a third person, who disturbs nobody", async () => {
    await using server = await testServer();
    const { ann, bob, code } = await connectedPeople(browser, server.http);
    const carol = await browser.person(server.http);
    await carol.enterCode(code);
    expect(await carol.fault()).toBe(gone);
    await ann.say("Still us");
    await bob.sees("Still us");
  });

  test("an expired one is taken back from who made it, and refused to who enters it", async () => {
    await using server = await testServer({ ROOM_TTL: "1s" });
    const ann = await browser.person(server.http);
    const code = await ann.createCode();
    await ann.page.getByText("Your code has expired. Create a new one.").waitFor();
    const bob = await browser.person(server.http);
    await bob.enterCode(code);
    expect(await bob.fault()).toBe(gone);
  });

  test.each([15, -15])("lasts as long for a device whose clock is %d min ahead", async (min) => {
    await using server = await testServer();
    const ann = await browser.person(server.http, { clockAheadMs: min * 60_000 });
    const code = await ann.createCode();
    expect(await ann.page.locator("#time-left").textContent()).toMatch(/ (?:9:5\d|10:0\d)\./);
    await ann.page.reload();
    expect(await ann.page.locator("#code").textContent()).toBe(code);
    expect(await ann.page.locator("#time-left").textContent()).toMatch(/ (?:9:5\d|10:0\d)\./);
  });

  test("too many tries are told as such, and when to try again", async () => {
    // The page itself is a request too.
    await using server = await testServer({ HTTP_RATE_PER_MIN: "2" });
    const bob = await browser.person(server.http);
    await bob.enterCode("0000");
    expect(await bob.fault()).toBe(gone);
    await bob.enterCode("0001");
    await bob.page.getByText(/Too many tries from your address. Try again in \d+ s./).waitFor();
  });

  test("a server that is gone is told as such", async () => {
    const server = await testServer();
    const bob = await browser.person(server.http);
    await server.stop();
    await bob.enterCode("0000");
    expect(await bob.fault()).toContain("The server cannot be reached.");
  });
});

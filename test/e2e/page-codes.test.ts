import { afterAll, beforeAll, expect, test } from "bun:test";
import { mint } from "../../src/client/client.ts";
import { describeInBrowser, type Person } from "../support/browser.ts";
import { type TestServer, testServer } from "../support/server.ts";

/** The digits of a code in another script, whose zero this is. */
function inScript(code: string, zero: number): string {
  return code.replaceAll(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)));
}

describeInBrowser("the field for a code", (browser) => {
  let server: TestServer;
  let bob: Person;
  beforeAll(async () => {
    server = await testServer();
    bob = await browser.person(server.http);
  });
  afterAll(() => server.stop());

  async function paste(text: string): Promise<void> {
    await bob.page.locator("#code-field").fill("");
    await bob.page.locator("#code-field").focus();
    await bob.page.keyboard.insertText(text);
    await bob.page.getByRole("button", { name: "Connect" }).click();
  }

  test.each<[string, (code: string) => string]>([
    ["as it is", (code) => code],
    ["with blanks around", (code) => `  \t${code}\u00a0 `],
    ["in groups", (code) => code.split("").join(" ")],
    ["with a hyphen", (code) => `${code.slice(0, 2)}-${code.slice(2)}`],
    ["with a dash", (code) => `${code.slice(0, 2)} \u2013 ${code.slice(2)}`],
    [
      "with what cannot be seen",
      (code) => `\u202a\u200b${code.slice(0, 1)}\u00ad\ufe0f${code.slice(1)}\u2060`,
    ],
    ["full width", (code) => inScript(code, 0xff10)],
    ["Arabic-Indic", (code) => inScript(code, 0x660)],
    ["Persian", (code) => inScript(code, 0x6f0)],
    ["Devanagari", (code) => inScript(code, 0x966)],
    ["Thai", (code) => inScript(code, 0xe50)],
    ["mathematical, the third of five rows that touch", (code) => inScript(code, 0x1d7e2)],
    ["as emoji", (code) => code.replaceAll(/\d/g, "$&\ufe0f\u20e3")],
    ["after a hash", (code) => `#${code}`],
    ["as a link", (code) => `${server.http}/#${code} `],
    ["as a link without its scheme", (code) => `localhost:1234/base/?relay#${code}`],
  ])("takes a code %s", async (_, written) => {
    await paste(written((await mint(server.http)).code));
    await bob.page.locator("#room").waitFor();
    await bob.page.locator("#leave").click();
  });

  test.each([
    "12",
    "1234 5678 9",
    "12.34",
    "code 1234",
    "12a4",
    "\u00b2\u00b2\u00b2\u00b2",
    "\u2463\u2463\u2463\u2463",
    "http://example.com/1234",
  ])(
    "refuses %p by itself, without a request, and leaves it there to be corrected",
    async (text) => {
      const asked: string[] = [];
      bob.page.on("request", (request) => asked.push(request.url()));
      await paste(text);
      expect(await bob.fault()).toBe("A code has 4 to 8 digits.");
      expect(await bob.page.locator("#code-field:focus").inputValue()).toBe(text);
      expect(asked).toEqual([]);
      bob.page.removeAllListeners("request");
    },
  );

  test("a link that is opened in this tab leads to its room, whatever the tab shows", async () => {
    for (const shown of ["#start", "#room", "#waiting"]) {
      if (shown === "#waiting") {
        await bob.page.locator("#leave").click();
        await bob.createCode();
      }
      await bob.page.locator(shown).waitFor();
      const ann = await browser.person(server.http);
      await bob.page.goto(`${server.http}/#${await ann.createCode()}`);
      await Promise.all([ann.connected(), bob.connected()]);
      expect(bob.page.url()).toBe(`${server.http}/`);
      await ann.leave();
    }
    await bob.page.locator("#leave").click();
    const own = await bob.createCode();
    await bob.page.goto(`${server.http}/#${own}`);
    await bob.page.locator("#waiting").waitFor();
    const ann = await browser.person(`${server.http}/#${own}`);
    await Promise.all([ann.connected(), bob.connected()]);
  });
});

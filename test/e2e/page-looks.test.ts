import { afterAll, beforeAll, expect, test } from "bun:test";
import { describeInBrowser, type Person } from "../support/browser.ts";
import { type TestServer, testServer } from "../support/server.ts";

const axe = await Bun.file(Bun.resolveSync("axe-core/axe.min.js", import.meta.dir)).text();

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly impact: string }[];
}

/** Everything that axe-core holds against the page as it is shown. */
async function violations({ page }: Person): Promise<readonly string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate("axe.run()")) as AxeResult;
  return found.violations.map(({ id, impact }) => `${impact}: ${id}`);
}

test("the page forbids itself everything that was not built into it", async () => {
  await using server = await testServer();
  const answer = await fetch(server.http);
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  const policy = answer.headers.get("content-security-policy") ?? "";
  expect(policy).toStartWith("default-src 'none'; script-src 'sha256-");
  expect(policy).not.toContain("unsafe");
  expect(policy).not.toContain("http");
  const html = await answer.text();
  expect(html.match(/<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!data:)[^"]*"/g)).toBeNull();
});

test("the client is there to import as long as the page is", async () => {
  await using server = await testServer();
  const answer = await fetch(`${server.http}/client.js`, { headers: { origin: "http://app" } });
  expect(answer.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect(answer.headers.get("access-control-allow-origin")).toBe("http://app");
  const exported = new Bun.Transpiler({ loader: "js" }).scan(await answer.text()).exports;
  expect(exported.toSorted()).toEqual([
    "ClientEnded",
    "MailError",
    "RendezvousError",
    "SignalingClient",
    "iceServers",
    "mint",
    "redeem",
  ]);
  await using without = await testServer({ DEMO: "false" });
  expect((await fetch(`${without.http}/client.js`)).status).toBe(404);
});

test("there is no page where DEMO or DEV say so, and one for its own origin alone", async () => {
  for (const env of [{ DEMO: "false" }, { DEV: "false" }]) {
    await using server = await testServer(env);
    expect((await fetch(server.http)).status).toBe(404);
  }
  await using server = await testServer({ DEV: "false", DEMO: "true" });
  const from = (origin: string) => fetch(server.http, { headers: { origin } });
  expect((await from(server.http)).status).toBe(200);
  expect((await from("https://elsewhere.example")).status).toBe(403);
});

describeInBrowser("the page", (browser) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());

  test.each([
    ["light", 375],
    ["dark", 1280],
  ] as const)("is accessible in each view, %s, %d px wide", async (colorScheme, width) => {
    const options = { colorScheme, viewport: { width, height: 800 } };
    const ann = await browser.person(server.http, options);
    expect(await violations(ann)).toEqual([]);
    const code = await ann.createCode();
    expect(await violations(ann)).toEqual([]);
    const bob = await browser.person(server.http, options);
    await bob.enterCode("0000");
    await bob.fault();
    expect(await violations(bob)).toEqual([]);
    await bob.enterCode(code);
    await Promise.all([ann.connected(), bob.connected()]);
    await ann.say("Hello");
    await bob.say("Hello, you");
    await ann.sees("Hello, you");
    await ann.sendFile("picture.png", Buffer.alloc(1000));
    await bob.transferEnds("picture.png", "Received");
    for (const person of [ann, bob]) {
      expect(await violations(person)).toEqual([]);
      expect(await person.page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    }
  });

  test("needs no mouse", async () => {
    const ann = await browser.person(server.http);
    const bob = await browser.person(server.http);
    const press = async (person: Person, ...keys: string[]) => {
      for (const key of keys) await person.page.keyboard.press(key);
    };
    await press(ann, "Tab", "Enter");
    await ann.page.locator("#waiting").waitFor();
    const code = (await ann.page.locator("#code").textContent()) ?? "";
    await press(bob, "Tab", "Tab");
    await bob.page.keyboard.type(code);
    await press(bob, "Enter");
    await Promise.all([ann.connected(), bob.connected()]);
    await bob.page
      .getByRole("button", { name: "Send a file" })
      .and(bob.page.locator(":enabled"))
      .waitFor();
    // From the heading: leave, send a file, the messages, the field.
    await press(bob, "Tab", "Tab", "Tab", "Tab");
    await bob.page.keyboard.type("Typed");
    await press(bob, "Enter");
    await ann.sees("Typed");
    await press(bob, "Shift+Tab", "Shift+Tab", "Shift+Tab", "Enter");
    await bob.page.getByRole("heading", { name: "Connect two browsers" }).waitFor();
  });
});

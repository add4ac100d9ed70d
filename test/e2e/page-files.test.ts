import { afterAll, beforeAll, expect, test } from "bun:test";
import { connectedPeople, describeInBrowser } from "../support/browser.ts";
import { type TestServer, testServer } from "../support/server.ts";

describeInBrowser("two people who are connected", (browser) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());

  test("send a file of 20 MB, which arrives byte for byte", async () => {
    const { ann, bob } = await connectedPeople(browser, server.http);
    const bytes = Buffer.alloc(20_000_000);
    for (let at = 0; at < bytes.length; at += 65_536) {
      crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    }
    await ann.sendFile("résumé 1.bin", bytes);
    await ann.transferEnds("résumé 1.bin", "Sent in");
    await bob.transferEnds("résumé 1.bin", "Received in");
    const saved = await bob.save("résumé 1.bin");
    expect(saved.name).toBe("résumé 1.bin");
    expect(Bun.SHA256.hash(saved.bytes, "hex")).toBe(Bun.SHA256.hash(bytes, "hex"));
    await bob.sendFile("empty", Buffer.alloc(0));
    await ann.transferEnds("empty", "Received in");
    expect([ann.complaints, bob.complaints]).toEqual([[], []]);
  });

  test("receive bytes with a plain name, whatever kind of file the sender makes of them", async () => {
    const { ann, bob } = await connectedPeople(browser, server.http);
    await bob.page.evaluate(`{
      const real = URL.createObjectURL;
      URL.createObjectURL = (file) => {
        document.title = file.type;
        return real(file);
      };
    }`);
    await ann.sendFile("..a\u202egnp\u0007:.html", Buffer.from("<script>alert(1)</script>"));
    await bob.transferEnds("agnp_.html", "Received in");
    expect(await bob.page.title()).toBe("application/octet-stream");
    expect((await bob.save("agnp_.html")).name).toBe("agnp_.html");
  });

  test("cancel a file from either end, and both see it", async () => {
    const { ann, bob } = await connectedPeople(browser, server.http);
    for (const [name, stopper] of [
      ["here", ann],
      ["there", bob],
    ] as const) {
      await ann.sendFile(name, Buffer.alloc(96_000_000));
      await stopper.page.getByRole("button", { name: `Cancel ${name}` }).click();
      await ann.transferEnds(name, "Cancelled");
      await bob.transferEnds(name, "Cancelled");
    }
    await ann.say("Still there");
    await bob.sees("Still there");
  });
});

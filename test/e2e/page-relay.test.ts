import { expect, test } from "bun:test";
import { describeInBrowser } from "../support/browser.ts";
import { testServer } from "../support/server.ts";
import { noTurn, TurnServer } from "../support/turn-server.ts";

describeInBrowser("two people who may only meet at a TURN server", (browser) => {
  test.skipIf(noTurn)("connect over coturn with the credentials they were given", async () => {
    await using turn = await TurnServer.start("north");
    const env = { TURN_URLS: `${turn.url("udp")},${turn.url("tcp")}`, TURN_SECRET: "north" };
    await using server = await testServer(env);
    const ann = await browser.person(`${server.http}/?relay`);
    const bob = await browser.person(`${server.http}/?relay`);
    await bob.enterCode(await ann.createCode());
    await Promise.all([ann.connected(), bob.connected()]);
    await ann.say("Over TURN");
    await bob.sees("Over TURN");
    for (const person of [ann, bob]) {
      await person.step("Path", /Relayed by TURN/);
      expect(await person.step("ICE candidates", /relay/)).not.toContain("host");
    }
    await ann.sendFile("relayed.bin", Buffer.alloc(300_000));
    await bob.transferEnds("relayed.bin", "Received");
    const established = 'nt_session_established_total{mode="relay"}';
    await server.metricBecomes(established, (count) => count === 1);
    expect([ann.complaints, bob.complaints]).toEqual([[], []]);
  });

  test.skipIf(noTurn)(
    "are both told that the TURN server refuses them, and the link asks for TURN too",
    async () => {
      await using turn = await TurnServer.start("right");
      await using server = await testServer({ TURN_URLS: turn.url(), TURN_SECRET: "wrong" });
      const ann = await browser.person(`${server.http}/?relay`);
      await ann.createCode();
      const link = (await ann.page.locator("#link").getAttribute("href")) ?? "";
      expect(link).toStartWith(`${server.http}/?relay#`);
      const bob = await browser.person(link);
      for (const { page } of [ann, bob]) await page.getByText("refused the credentials").waitFor();
    },
  );

  test("learn what is wrong when there is no such server", async () => {
    await using server = await testServer();
    const ann = await browser.person(`${server.http}/?relay`);
    const bob = await browser.person(server.http);
    await bob.enterCode(await ann.createCode());
    await ann.page
      .getByText("connects over TURN alone, and no TURN server is configured")
      .waitFor();
    await ann.step("ICE checks", /No pair works/);
    await ann.page.getByRole("button", { name: "Try again" }).waitFor();
    const failed = 'nt_session_failed_total{reason="ice-failed"}';
    await server.metricBecomes(failed, (count) => count > 0);
  });
});

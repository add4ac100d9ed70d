import { expect, test } from "bun:test";
import { deploy } from "./deploy.ts";
import { descriptors } from "./descriptors.ts";
import { heldSockets } from "./held-sockets.ts";
import type { Scenario } from "./scenario.ts";
import { soak } from "./soak.ts";
import { stalledReaders } from "./stalled-readers.ts";
import { storm } from "./storm.ts";

// The short forms: that nothing breaks. Their delays mean nothing on a machine that runs tests.

test.each<[promise: string, scenario: Scenario]>([
  ["pairs beside readers that stalled lose nothing", stalledReaders],
  ["relays run on all sockets that are held", heldSockets],
  ["running out of descriptors is survived, and left behind", descriptors],
  ["all who connect in one go get their seats", storm],
  ["a deploy in the midst of traffic loses no pair and no mail", deploy],
])(
  "%s",
  async (_, scenario) => {
    const lines: string[] = [];
    await scenario({ short: true, seed: 1, say: (line) => lines.push(line) });
    expect(lines.length).toBeGreaterThan(0);
  },
  60_000,
);

test("sessions that are cut off leave nothing behind", async () => {
  await soak({ seed: 20260101, sessions: 600, parts: 2, say: () => {} });
});

import { expect, test } from "bun:test";
import type { Code } from "../../src/base/ids.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { rendezvous } from "../../src/rendezvous/rendezvous.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";
import { someClient } from "../support/some-client.ts";

test("in memory neither minting nor redeeming costs a promise, nor more draws than needed", () => {
  const now = () => 1_700_000_000_000;
  let draws = 0;
  const { mint, redeem } = rendezvous({
    codes: memoryEngine({ now, limits: contractLimits, dropped() {} }).codes,
    random: () => 2_802 * ++draws,
    roomTtlMs: contractLimits.roomTtlMs,
    codeDigits: 4,
    codeDigitsMax: 8,
    codesPerClient: 0,
    maxCodes: 1_000_000,
    redeemFailures: 0,
    tally: new Tally(),
  });
  const client = someClient("192.0.2.1");
  expect(mint({ ttlMs: undefined, client })).toMatchObject({ code: "2802" });
  expect(redeem("2802" as Code, client)).toMatchObject({ entry: { expiresAt: now() + 600_000 } });
  expect(draws).toBe(1);
});

import { test as anyTest, expect } from "bun:test";
import { redisMissing } from "../support/redis.ts";
import { sentinelMissing } from "../support/sentinels.ts";
import { chaos } from "./scenario.ts";

const test = anyTest.skipIf(redisMissing);

test("5 s of kills, stops and restarts lose, repeat and reorder no mail, and leave no seat stuck", async () => {
  const report = await chaos({ seed: 20260101, seconds: 5, pairs: 10 });
  expect(report.faults).toEqual([]);
  expect(report.mails).toBeGreaterThan(100);
  for (const bytes of report.rss) expect(bytes).toBeLessThan(200_000_000);
}, 150_000);

anyTest.skipIf(sentinelMissing)(
  "a few kills and stops of a primary under sentinels lose, repeat and reorder no mail",
  async () => {
    const report = await chaos({ seed: 20260102, seconds: 5, pairs: 10, sentinel: true });
    expect(report.faults).toEqual([]);
    expect(report.mails).toBeGreaterThan(100);
  },
  150_000,
);

for (const sentinel of [false, true]) {
  anyTest.skipIf(sentinelMissing)(
    `a Redis that forgets some of what it answered${sentinel ? ", under sentinels," : ""} loses that and nothing else`,
    async () => {
      const options = { seed: 20260103, seconds: 5, pairs: 10, loses: true };
      const report = await chaos({ ...options, sentinel });
      expect(report.faults).toEqual([]);
      expect(report.mails).toBeGreaterThan(0);
    },
    150_000,
  );
}

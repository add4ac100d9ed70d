import { expect, test } from "bun:test";
import { join } from "node:path";
import { cases } from "./cases.ts";
import { attempt, missingFor } from "./run.ts";
import { tableOf } from "./table.ts";

// npm run attack tries all of them; delays mean nothing on a machine that runs tests.
const tried = cases.filter(({ short, theme }) => short && theme !== "work");

for (const attack of tried) {
  const missing = missingFor(attack);
  if (missing !== undefined) process.stderr.write(`${attack.name} is skipped: ${missing}.\n`);
  test.skipIf(missing !== undefined)(
    `${attack.tries}: ${attack.bound}`,
    async () => {
      const { measured, holds } = await attempt(attack);
      expect({ measured, holds }).toEqual({ measured, holds: true });
    },
    60_000,
  );
}

test("every case has a name of its own, and is in docs/attacks.md as it is", async () => {
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  const text = await Bun.file(join(import.meta.dir, "../../docs/attacks.md")).text();
  expect(text).toEndWith(tableOf(cases));
});

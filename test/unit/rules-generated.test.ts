import { expect, test } from "bun:test";
import { join } from "node:path";
import { compiledRules } from "../../deploy/rules.ts";

test("what runs inside of Redis is compiled from these very rules: npm run rules writes it", async () => {
  const path = join(import.meta.dir, "../../src/engine/redis/rules.generated.lua");
  expect((await compiledRules()) === (await Bun.file(path).text())).toBe(true);
}, 60_000);

import { plugin } from "bun";
import type { RedisData } from "./redis-data.ts";

// Runs the code for inside Redis as TypeScript. A model replaces the module `lua.ts`, which Redis provides.
// test/unit and the contract tests check that the compiled form behaves the same.

/** The modelled Redis in which the rules run at present. */
export const redis: { data: RedisData | undefined } = { data: undefined };

plugin({
  name: "inside of Redis",
  setup(build) {
    build.onLoad({ filter: /\/engine\/redis\/inside\/lua\.ts$/ }, () => ({
      contents: `export { call, pack, unpack, parse, quote, format, number, match } from ${JSON.stringify(`${import.meta.dir}/lua-twins.ts`)};`,
      loader: "ts",
    }));
  },
});

export const { called } = await import("../../src/engine/redis/inside/inside.ts");

import { plugin } from "bun";
import type { RedisData } from "./redis-data.ts";

// The rules as they run inside of Redis, in TypeScript: what Redis gives them, the module `lua.ts`, is a
// model here. That their compiled form does the same is what test/unit and the contract show.

/** The Redis inside of which the rules run right now. */
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

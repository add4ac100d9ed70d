#!/usr/bin/env node
// What npx and bunx start.
import { runInPlace } from "./run-in-place.mjs";
import { bun, serverArgs } from "./server.mjs";

runInPlace(bun, [...serverArgs, ...process.argv.slice(2)], {
  endsWithMe: true,
  onError: "Try: npm rebuild bun",
});

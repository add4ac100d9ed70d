import { testServer } from "../support/server.ts";

// A server that tells its memory: the process of `held-memory.ts`. Settings come as JSON.

const server = await testServer(JSON.parse(process.argv[2] ?? "{}"));
process.on("message", () => {
  Bun.gc(true);
  process.send?.(process.memoryUsage.rss());
});
process.send?.(server.port);

import { parseArgs } from "node:util";
import { fuzz } from "./run.ts";

// Fuzzes the server: npm run fuzz -- --seed 1 --frames 1000000 --requests 100000

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    frames: { type: "string", default: "100000" },
    requests: { type: "string", default: "10000" },
    batch: { type: "string", default: "10000" },
  },
});

function count(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) {
    process.stderr.write(`--${name} must be a whole number, not "${text}".\n`);
    process.exit(2);
  }
  return Number(text);
}

const seed = count("seed", values.seed ?? String(Date.now() % 1_000_000_000));
process.stdout.write(`seed ${seed}\n`);
try {
  const startedAt = performance.now();
  await fuzz({
    seed,
    frames: count("frames", values.frames),
    requests: count("requests", values.requests),
    batch: Math.max(1, count("batch", values.batch)),
    onBatch({ frames, requests, heard, rssMib, rooms }) {
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
      process.stdout.write(
        `${seconds} s: ${frames} frames, ${requests} requests, ${heard} heard, ${rooms} rooms, ${rssMib} MiB\n`,
      );
    },
  });
  process.stdout.write("All is well.\n");
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
process.exit(0);

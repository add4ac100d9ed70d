import { pacedPairs } from "../load/paced-pairs.ts";

// What pairs notice, a process of its own: bun pairs.ts PORT SECONDS prints their delay
// alone and, once a line has come, beside the flood, as JSON.

const [port, seconds] = process.argv.slice(2).map(Number) as [number, number];
using pairs = await pacedPairs(port, 20);
process.stdout.write(`${JSON.stringify(await pairs.talk(400, 1))}\n`);
for await (const _ of Bun.stdin.stream()) break;
await pairs.talk(400, 0.5);
process.stdout.write(`${JSON.stringify(await pairs.talk(400, seconds))}\n`);
process.exit(0);

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chance } from "../support/chance.ts";
import { freePort, Program } from "../support/program.ts";
import { Talker } from "../support/talker.ts";
import { until, within } from "../support/waiting.ts";
import type { Scenario } from "./scenario.ts";

/**
 * The server is stopped in the midst of traffic and another one started on its port: every pair is
 * back, and no mail is lost, repeated or out of order.
 */
export const deploy: Scenario = async ({ short, seed, say }) => {
  const pairs = short ? 25 : 1_000;
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-deploy-"));
  const port = await freePort();
  const env = {
    PORT: String(port),
    STATE_FILE: join(folder, "state"),
    SOCKETS_PER_CLIENT: "0",
    MAX_SOCKETS: "10000000",
  };
  const draws = chance(seed);
  const talkers: Talker[] = [];
  try {
    await using first = await Program.start(env);
    await first.listening();
    for (let i = 0; i < pairs; i++) {
      const appId = crypto.randomUUID();
      for (const side of ["A", "B"] as const) {
        const one = new Talker({ url: `http://127.0.0.1:${port}`, appId, side, everyMs: 300 });
        talkers.push(one);
        one.talk(draws.below(300));
      }
    }
    const all = (arrivals: number) => () =>
      talkers.every((one) => one.arrivals >= arrivals && one.isOnline);
    await until(`${pairs} pairs`, all(1), 30_000);
    const mailed = () => talkers.every(({ sent }) => sent > 2);
    await until("everybody's third mail", mailed, 30_000);

    const startedAt = performance.now();
    first.signal("SIGTERM");
    await using second = await Program.start(env);
    const code = await within("the first server to end", first.exited, 30_000);
    if (code !== 0) throw new Error(`The first server ended with ${code}`);
    const endedMs = performance.now() - startedAt;
    await until("everybody to be back", all(2), 60_000);
    const backMs = performance.now() - startedAt;
    const before = talkers.map(({ sent }) => sent);
    await until(
      "everybody's next mail",
      () => talkers.every(({ sent }, i) => sent > (before[i] as number) + 1),
      30_000,
    );
    const silent = Promise.all(talkers.map((one) => one.fallSilent()));
    await within("the last mail to be stored", silent, 60_000);
    const others = (i: number) => talkers[i ^ 1] as Talker;
    await until(
      "the last mail to be delivered",
      () => talkers.every(({ heard }, i) => heard.length >= others(i).sent),
      30_000,
    );
    let mails = 0;
    for (const [i, one] of talkers.entries()) {
      const fault = one.faultIn(others(i));
      if (fault !== undefined) throw new Error(fault);
      mails += one.sent;
    }
    say(
      `${pairs} pairs: the first server was gone after ${endedMs.toFixed(0)} ms, ` +
        `all were back after ${backMs.toFixed(0)} ms, all ${mails} mails came once and in order`,
    );
    if (second.stderr !== "") throw new Error(`The second server wrote ${second.stderr}`);
  } finally {
    for (const one of talkers) one[Symbol.dispose]();
    await rm(folder, { recursive: true, force: true });
  }
};

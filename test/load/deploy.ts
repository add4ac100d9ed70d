import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignalingClient } from "../../src/client/client.ts";
import { chance } from "../support/chance.ts";
import { freePort, Program } from "../support/program.ts";
import { until, within } from "../support/waiting.ts";
import type { Scenario } from "./scenario.ts";

/** A client that sends numbered mail without end. */
interface Talker {
  readonly client: SignalingClient;
  /** Numbers of the mails that came. */
  readonly heard: number[];
  sent: number;
  /** How often it got its seat. */
  arrivals: number;
  readonly talking: Promise<void>;
}

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
  let over = false;
  const talkers: Talker[] = [];
  try {
    await using first = await Program.start(env);
    await first.listening();
    for (let i = 0; i < pairs; i++) {
      const appId = crypto.randomUUID();
      for (const side of ["A", "B"] as const) {
        talkers.push(talker(`http://127.0.0.1:${port}`, appId, side, draws.below(300)));
      }
    }
    const all = (arrivals: number) => () =>
      talkers.every((one) => one.arrivals >= arrivals && one.client.state === "online");
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
    over = true;
    await within("the last mail to be stored", Promise.all(talkers.map((t) => t.talking)), 60_000);
    const others = (i: number) => talkers[i ^ 1] as Talker;
    await until(
      "the last mail to be delivered",
      () => talkers.every(({ heard }, i) => heard.length >= others(i).sent),
      30_000,
    );
    let mails = 0;
    for (const [i, { heard }] of talkers.entries()) {
      const { sent } = others(i);
      const inOrder = heard.length === sent && heard.every((number, n) => number === n);
      if (!inOrder) throw new Error(`Of ${sent} mails ${heard.length} came: ${heard.join()}`);
      mails += sent;
    }
    say(
      `${pairs} pairs: the first server was gone after ${endedMs.toFixed(0)} ms, ` +
        `all were back after ${backMs.toFixed(0)} ms, all ${mails} mails came once and in order`,
    );
    if (second.stderr !== "") throw new Error(`The second server wrote ${second.stderr}`);
  } finally {
    over = true;
    for (const { client } of talkers) client.close();
    await rm(folder, { recursive: true, force: true });
  }

  function talker(url: string, appId: string, side: "A" | "B", firstMs: number): Talker {
    // A client at its end stores nothing more, and says nothing.
    const gone = Promise.withResolvers<false>();
    const client = new SignalingClient({
      url,
      appId,
      side,
      on: {
        state(state) {
          if (["closed", "refused", "replaced"].includes(state)) gone.resolve(false);
        },
        welcome() {
          self.arrivals++;
        },
        mail(payload) {
          self.heard.push(Number(payload));
        },
      },
    });
    async function talk(): Promise<void> {
      await Bun.sleep(firstMs);
      while (!over) {
        const stored = client.send(self.sent++);
        if (!(await Promise.race([stored.then(() => true), gone.promise]))) return;
        await Bun.sleep(300);
      }
    }
    const self: Talker = {
      client,
      heard: [],
      sent: 0,
      arrivals: 0,
      get talking() {
        return talking;
      },
    };
    const talking = talk();
    return self;
  }
};

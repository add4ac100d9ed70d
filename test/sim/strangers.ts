import { secret } from "./clients.ts";
import { ClientSocket } from "./network.ts";
import { nature } from "./time.ts";
import type { World } from "./world.ts";

/** Other users of the server. They must not harm the clients. */
export const strangers: readonly ((world: World, untilMs: number) => void)[] = [
  guesser,
  hoarder,
  monitor,
];

function every(world: World, ms: number, untilMs: number, act: () => void): void {
  world.time.after(ms, () => {
    if (world.time.now > untilMs) return;
    act();
    every(world, ms, untilMs, act);
  });
}

/** Tries random codes, far more often than people mistype them. */
function guesser(world: World, untilMs: number): void {
  const draws = world.draws("guesser");
  const tries: number[] = [];
  every(world, 4_000, untilMs / 3, () => {
    const code = String(draws.below(10_000)).padStart(4, "0");
    world.redeem(draws, "192.0.2.66", code, "guesser", (_, status) => {
      if (status !== 410 && status !== 200) return;
      tries.push(world.time.now);
      const { redeemFailures, redeemWindowMs } = world.config;
      const since = Math.max(world.time.now - redeemWindowMs, world.checks.forgottenAt);
      const recent = tries.filter((at) => at > since).length;
      if (recent > 2 * redeemFailures) world.checks.fail("guesses not limited", "");
    });
  });
}

/** Takes as many rooms and fills as many mailboxes as it can, from one address or from many. */
function hoarder(world: World, untilMs: number): void {
  const draws = world.draws("hoarder");
  const sites = draws.oneIn(3) ? 200 : 1;
  world.checks.isCrowded = sites > 1;
  let count = 0;
  every(world, sites > 1 ? 2_000 : 8_000, untilMs, () => {
    const who = { address: `198.18.${draws.below(sites)}.77`, process: nature };
    const socket = new ClientSocket();
    const url = `ws://sim/ws?appID=${crypto.randomUUID()}&side=A&sid=`;
    socket.onopen = () => {
      const payload = "x".repeat(draws.below(world.maxFrameBytes - 100));
      for (let i = 0; i < 3; i++) socket.send(JSON.stringify({ type: "send", to: "B", payload }));
    };
    world.connect(socket, `hoarder#${++count}`, who, { url, protocol: "" });
    world.time.after(5_000 + draws.below(120_000), () => socket.close());
  });
}

/** Reads what operators read. */
function monitor(world: World, untilMs: number): void {
  const draws = world.draws("monitor");
  const ask = (path: string, answered: (status: number, text: string) => void) =>
    world.ask(draws, "192.0.2.88", path, undefined, (status, _, text) => answered(status, text));
  every(world, 30_000, untilMs, () =>
    ask("/healthz", (status) => {
      if (status !== 200 && status !== 0) world.checks.fail("not healthy", `${status}`);
    }),
  );
  // Some of what it measures is of the real process, and takes its time.
  if (!draws.oneIn(30)) return;
  every(world, 1_200_000, untilMs, () =>
    ask("/metrics", (status, text) => {
      if (status !== 200 && status !== 0) world.checks.fail("no metrics", `${status}`);
      if (text.includes(secret)) world.checks.fail("secret in the metrics", "");
    }),
  );
}

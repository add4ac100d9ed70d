import { LoadSocket } from "../bench/load-socket.ts";
import { openPair, type Pair } from "../support/client.ts";
import { until } from "../support/waiting.ts";
import type { Scenario } from "./scenario.ts";
import { startServer } from "./server.ts";

const openFiles = 200;

/**
 * A server that is let run out of descriptors goes on for those who are in, and takes new ones once
 * some have left. With MAX_SOCKETS at its default it does not get that far.
 */
export const descriptors: Scenario = async ({ short, say }) => {
  await exhausted(short ? 300 : 2_000, say);
  await kept(short ? 300 : 2_000, say);
};

async function exhausted(newcomers: number, say: (line: string) => void): Promise<void> {
  await using server = await startServer({ MAX_SOCKETS: "10000" }, openFiles);
  await using pair = await openPair({ ws: `ws://127.0.0.1:${server.port}` });
  const crowd = crowdOf(server.port, newcomers);
  // Those that were not let in wait in the kernel; nobody tells them.
  await until("the descriptors to be gone", () => crowd.stood(500), 20_000);
  const inside = crowd.open();
  say(`${openFiles} descriptors, ${newcomers} newcomers: ${inside} got in`);
  if (inside >= openFiles) throw new Error("The limit of open files was not kept");
  await relays(pair);
  say("the pair that was there before is served");
  const startedAt = performance.now();
  crowd.leave();
  await until("a newcomer to be let in", await comesIn(server.port), 20_000);
  say(`a newcomer is in ${(performance.now() - startedAt).toFixed(0)} ms after they left`);
  await relays(pair);
  const answer = await fetch(`${server.http}/rendezvous/code`, { method: "POST" });
  if (answer.status !== 200) throw new Error(`Minting a code: ${answer.status}`);
}

async function kept(newcomers: number, say: (line: string) => void): Promise<void> {
  await using server = await startServer({ MAX_SOCKETS: "auto" }, openFiles);
  await using pair = await openPair({ ws: `ws://127.0.0.1:${server.port}` });
  const crowd = crowdOf(server.port, newcomers);
  const settled = () => crowd.open() + crowd.refused() === newcomers;
  await until("every newcomer to be in or refused", settled, 30_000);
  say(`MAX_SOCKETS=auto: ${crowd.open()} got in, ${crowd.refused()} were refused`);
  await relays(pair);
  crowd.leave();
  await until("a newcomer to be let in", await comesIn(server.port), 20_000);
}

interface Crowd {
  open(): number;
  refused(): number;
  /** Nobody came in or was refused for so many ms. */
  stood(ms: number): boolean;
  leave(): void;
}

function crowdOf(port: number, count: number): Crowd {
  let open = 0;
  let refused = 0;
  let changedAt = performance.now();
  const hearing = {
    opened() {
      open++;
      changedAt = performance.now();
    },
    text() {},
    closed() {
      refused++;
      changedAt = performance.now();
    },
  };
  const sockets = Array.from({ length: count }, () => {
    return new LoadSocket({ port, appId: crypto.randomUUID(), side: "A" }, hearing);
  });
  for (const socket of sockets) socket.connect();
  return {
    open: () => open,
    refused: () => refused,
    stood: (ms) => open > 0 && performance.now() - changedAt > ms,
    leave() {
      for (const socket of sockets) socket.terminate();
    },
  };
}

/** Tries again as often as it fails. */
async function comesIn(port: number): Promise<() => boolean> {
  let isIn = false;
  function attempt(): void {
    const door = { port, appId: crypto.randomUUID(), side: "A" } as const;
    const socket = new LoadSocket(door, {
      opened(opened) {
        isIn = true;
        opened.terminate();
      },
      text() {},
      closed() {
        if (!isIn) setTimeout(attempt, 20);
      },
    });
    socket.connect();
  }
  attempt();
  return () => isIn;
}

async function relays({ a, b }: Pair): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const frame = JSON.stringify({ type: "ice", candidate: crypto.randomUUID() });
    from.send(frame);
    if ((await to.nextText()) !== frame) throw new Error("Another frame came");
  }
}

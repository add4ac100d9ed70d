import type { Chance } from "../support/chance.ts";
import { RawClient } from "../support/raw-client.ts";
import { type FrameCase, frameCase } from "./frames.ts";
import { leakIn } from "./leaks.ts";

/** Sockets at a time. Two share a room, so that what one sends may reach the other. */
export const rogueCount = 8;
const roomCount = 16;

/** Close codes that tell a client something about itself; 1011 would be the server's own fault. */
const closeCodes = [undefined, 1000, 1001, 1002, 1005, 1007, 1008, 1009, 1013];

/** Sockets that send what they should not. */
export interface Rogues extends AsyncDisposable {
  /** Sends so many frames and waits until all are handled. Throws what is wrong with the answers. */
  send(chance: Chance, count: number): Promise<void>;
}

export function rogues(ws: string): Rogues {
  const open: (RawClient | undefined)[] = new Array<undefined>(rogueCount).fill(undefined);

  async function one(seat: number, chance: Chance, cases: readonly FrameCase[]): Promise<void> {
    let chunks: Buffer[] = [];
    let bytes = 0;
    const flush = (client: RawClient) => {
      if (chunks.length > 0) client.sendRaw(Buffer.concat(chunks));
      chunks = [];
      bytes = 0;
    };
    for (const frame of cases) {
      const client = await connected(seat, chance);
      chunks.push(frame.bytes);
      bytes += frame.bytes.length;
      if (frame.last) {
        flush(client);
        // Half a frame would wait for its rest: the end of the stream comes instead.
        client.halfClose();
        check(await client.ended);
        open[seat] = undefined;
      } else if (bytes > 500_000) {
        flush(client);
        await settled(seat, client);
      }
    }
    const client = await connected(seat, chance);
    flush(client);
    await settled(seat, client);
  }

  async function connected(seat: number, chance: Chance): Promise<RawClient> {
    const there = open[seat];
    if (there !== undefined && !there.isOver) return there;
    const room = (seat >> 1) + (rogueCount / 2) * chance.below(roomCount / (rogueCount / 2));
    const client = await RawClient.open(ws, {
      appId: `00000000-0000-4000-8000-0000000000${room.toString(16).padStart(2, "0")}`,
      side: seat % 2 === 0 ? "A" : "B",
      ...(chance.oneIn(2) ? { sid: chance.pick(["", "one", "two"]) } : {}),
      ...(chance.oneIn(2) ? { headers: { "Sec-WebSocket-Protocol": "nt.v2" } } : {}),
      ...(chance.oneIn(4) ? { roomless: true } : {}),
    });
    open[seat] = client;
    return client;
  }

  /** All that was sent is handled, or the server has ended the connection for it. */
  async function settled(seat: number, client: RawClient): Promise<void> {
    try {
      for (const text of await client.settled()) checkText(text);
    } catch (error) {
      if (!client.isOver) throw error;
      check(await client.ended);
      open[seat] = undefined;
    }
  }

  return {
    async send(chance, count) {
      const cases = Array.from({ length: count }, () => frameCase(chance));
      const share = Math.ceil(count / rogueCount);
      await Promise.all(
        open.map((_, seat) => one(seat, chance, cases.slice(seat * share, (seat + 1) * share))),
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(open.map((client) => client?.[Symbol.asyncDispose]()));
    },
  };
}

function check({ code, reason }: { readonly code: number | undefined; readonly reason: string }) {
  if (!closeCodes.includes(code)) throw new Error(`A socket was closed with ${code} ${reason}`);
  const leak = leakIn(reason);
  if (leak !== undefined) throw new Error(`A close told ${leak}`);
}

/** Whatever a peer hears is one JSON object, the server's own or another peer's. */
function checkText(text: string): void {
  const leak = leakIn(text);
  if (leak !== undefined) throw new Error(`A frame told ${leak}`);
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`A peer heard what is no object: ${text.slice(0, 200)}`);
  }
}

import { until } from "../../support/waiting.ts";
import { description, padded, repeated, textFrame } from "../frames.ts";
import type { LoadSocket } from "../load-socket.ts";
import { Latencies } from "../statistics.ts";
import type { Figures, Job, Work } from "./job.ts";
import { measure } from "./measure.ts";
import { openPairs, roomFullBytes } from "./pairs.ts";

/** Frames under way in a room, oldest first, by when they were sent. */
interface Room {
  readonly sentAt: Float64Array;
  sent: number;
  heard: number;
  /** Heard and not yet followed by another one. */
  owed: number;
}

/** Each frame that arrives lets another one go, so that the server is never idle nor flooded. */
export async function relay(
  job: Job,
  { rooms: count, bytes, window, pingPong }: Extract<Work, { kind: "relay" }>,
): Promise<Figures> {
  const text =
    bytes > 1_000 ? description("offer", bytes) : padded('{"type":"ice","candidate":"', bytes);
  const burst = repeated(textFrame(text), window);
  const frameBytes = burst.length / window;
  const expected = Buffer.from(text);
  const latencies = new Latencies(2_000_000);
  let heard = 0;
  let wrong = 0;
  let running = true;
  const rooms: Room[] = Array.from({ length: count }, () => {
    return { sentAt: new Float64Array(window), sent: 0, heard: 0, owed: 0 };
  });

  function send(room: number, from: "A" | "B", frames: number): void {
    const state = rooms[room] as Room;
    const now = performance.now();
    for (let i = 0; i < frames; i++) state.sentAt[state.sent++ % window] = now;
    const pair = pairs.rooms[room] as readonly [LoadSocket, LoadSocket];
    pair[from === "A" ? 0 : 1].send(burst.subarray(0, frames * frameBytes));
  }

  const pairs = openPairs({
    ...job,
    heard: {
      text(socket, chunk, start, end) {
        const length = end - start;
        if (length === roomFullBytes) return;
        const state = rooms[socket.room] as Room;
        // The whole frame of a hundredth of them; the length of all.
        const same = heard % 100 !== 0 || chunk.subarray(start, end).equals(expected);
        if (length !== bytes || !same || (!pingPong && socket.side === "A")) wrong++;
        latencies.add(performance.now() - (state.sentAt[state.heard++ % window] as number));
        heard++;
        state.owed++;
      },
      turn(socket) {
        const state = rooms[socket.room] as Room;
        const { owed } = state;
        if (owed === 0 || !running) return;
        state.owed = 0;
        send(socket.room, pingPong ? socket.side : "A", owed);
      },
    },
  });
  await pairs.grow(count);
  for (let room = 0; room < count; room++) send(room, "A", window);
  const figures = await measure(
    job,
    () => heard,
    () => latencies.clear(),
  );
  const [p50, p99] = [latencies.quantile(0.5), latencies.quantile(0.99)];
  running = false;
  const sent = () => rooms.reduce((sum, room) => sum + room.sent, 0);
  await until("the frames under way", () => heard >= sent(), 10_000);
  // Whatever comes twice comes now.
  await Bun.sleep(20);
  const failure = pairs.failure();
  if (failure !== undefined) throw failure;
  if (heard !== sent()) throw new Error(`${sent()} frames were sent and ${heard} came`);
  if (wrong > 0) throw new Error(`${wrong} frames came changed, or to the wrong side`);
  pairs.terminate();
  return { ...figures, p50: p50 * 1_000, p99: p99 * 1_000 };
}

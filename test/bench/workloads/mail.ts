import { until } from "../../support/waiting.ts";
import { padded, repeated, textFrame } from "../frames.ts";
import type { LoadSocket } from "../load-socket.ts";
import type { Figures, Job, Work } from "./job.ts";
import { measure } from "./measure.ts";
import { openPairs, roomFullBytes } from "./pairs.ts";

/** `{"type":"deliver","seq":` */
const seqAt = Buffer.byteLength('{"type":"deliver","seq":');

interface Room {
  /** Of the last mail heard. */
  seq: number;
  /** Heard and not yet acknowledged. */
  owed: number;
}

/**
 * A sends mail to B, which acknowledges each. A bare relay is given the same frames, and passes the
 * acknowledgement on as well.
 */
export async function mail(
  job: Job,
  { rooms: count, bytes, window }: Extract<Work, { kind: "mail" }>,
): Promise<Figures> {
  const burst = repeated(textFrame(padded('{"type":"send","to":"B","payload":"', bytes)), window);
  const frameBytes = burst.length / window;
  const rooms: Room[] = Array.from({ length: count }, () => ({ seq: 0, owed: 0 }));
  let sent = 0;
  let heard = 0;
  let wrong: string | undefined;
  let running = true;

  function send(room: number, mails: number): void {
    sent += mails;
    pairs.rooms[room]?.[0].send(burst.subarray(0, mails * frameBytes));
  }

  const pairs = openPairs({
    ...job,
    sid: "bench",
    heard: {
      text({ room, side }: LoadSocket, chunk, start, end) {
        if (side === "A" || end - start === roomFullBytes) return;
        const state = rooms[room] as Room;
        const seq = ++state.seq;
        if (job.whole && seqIn(chunk, start + seqAt) !== seq) {
          wrong ??= `Mail ${seq} came as ${chunk.toString("latin1", start, start + 60)}`;
        }
        heard++;
        state.owed++;
      },
      turn({ room, side }) {
        const state = rooms[room] as Room;
        const { seq: upTo, owed: mails } = state;
        if (side === "A" || mails === 0) return;
        state.owed = 0;
        for (let n = mails - 1; n >= 0; n--) {
          pairs.rooms[room]?.[1].send(textFrame(`{"type":"delivered","upTo":${upTo - n}}`));
        }
        if (running) send(room, mails);
      },
    },
  });
  await pairs.grow(count);
  for (const [, b] of pairs.rooms) b.send(textFrame('{"type":"hello","deliveredUpTo":0}'));
  for (let room = 0; room < count; room++) send(room, window);
  const figures = await measure(job, () => heard);
  running = false;
  await until("the mail under way", () => heard >= sent, 10_000);
  const failure = pairs.failure();
  if (failure !== undefined) throw failure;
  if (wrong !== undefined) throw new Error(wrong);
  if (heard !== sent) throw new Error(`${sent} mails were sent and ${heard} came`);
  pairs.terminate();
  return figures;
}

function seqIn(bytes: Buffer, from: number): number {
  let seq = 0;
  for (let at = from; ; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return seq;
    seq = 10 * seq + digit;
  }
}

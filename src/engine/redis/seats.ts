import type { Clock } from "../../base/clock.ts";
import type { Seats, Taken, Waiter } from "../engine.ts";
import type { SeatMessage } from "./messages.ts";
import type { Questions } from "./questions.ts";
import { numberAt, type RunRoomScript, textAt } from "./rooms-store.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { LocalSeat, ownSeat } from "./seat.ts";
import type { SeatBook } from "./seat-book.ts";
import type { Reply, Store } from "./store.ts";
import { isNoSpace, type Tenancy, takeArgs } from "./tenancy.ts";

export interface RedisSeatsOptions {
  readonly store: Store;
  readonly run: RunRoomScript;
  readonly node: string;
  readonly book: SeatBook;
  readonly waiters: Map<string, Waiter>;
  readonly questions: Questions;
  readonly tenancy: Tenancy;
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly maxRooms: number;
  readonly handle: (seat: LocalSeat, message: SeatMessage) => void;
}

/** Seats of all nodes. A seat of this node hears through the node's channel, open before any take. */
export function redisSeats(options: RedisSeatsOptions): Seats {
  const { store, run, node, book, waiters, questions, tenancy, clock } = options;
  let parked = 0;

  function sitDown(reply: Reply, seat: LocalSeat, early: readonly SeatMessage[]): Taken {
    const peerToken = numberAt(reply, 7);
    if (peerToken > 0) seat.peer = { token: peerToken, node: textAt(reply, 8) };
    seat.renewAt = clock.monotonicMs() + options.leaseMs / 3;
    const handle = (message: SeatMessage) => options.handle(seat, message);
    for (const message of early) seat.tell(message, handle);
    book.add(seat);
    // Not before the taker has its answer, which is a few promises away.
    clock.after(0, () => seat.opened(handle));
    return {
      outcome: "taken",
      seat,
      peer: numberAt(reply, 2) === 1,
      firstPair: numberAt(reply, 3) === 1,
      held: numberAt(reply, 4),
      lastSeq: numberAt(reply, 5),
      mailWaits: numberAt(reply, 6) === 1,
    };
  }

  return {
    async take(newcomer, how) {
      await store.subscribed();
      const { appId, side } = newcomer;
      book.expect(newcomer);
      let token = 0;
      let reply: Reply = [];
      let early: readonly SeatMessage[] = [];
      const askedAt = clock.monotonicMs();
      try {
        const args = takeArgs(newcomer, how, options.maxRooms);
        reply = await run(roomScripts.take, { appId, side }, args);
        if (isNoSpace(reply[0])) return { outcome: reply[0] };
        token = numberAt(reply, 1);
      } finally {
        early = book.arrived(newcomer, token);
      }
      if (reply[0] === "busy") return { outcome: "busy", token };
      const seat = new LocalSeat(newcomer, token);
      seat.leasedUntil = askedAt + options.leaseMs;
      return sitDown(reply, seat, early);
    },

    async leave(seat) {
      const own = ownSeat(seat);
      if (!own.isHeld) return false;
      own.isHeld = false;
      book.remove(own);
      await own.healing?.catch(() => {});
      try {
        return numberAt(await run(roomScripts.leave, own), 0) === 1;
      } catch {
        // Its lease will end by itself. Who is here can be told at once.
        const peer = tenancy.peerHere(own);
        if (peer) options.handle(peer, { kind: "left", peerToken: own.token });
        return true;
      }
    },

    async probe(appId, side, token) {
      const here = book.find({ appId, side, token });
      if (here && here === book.latest(appId, side))
        return (await here.listener.probed()) ? "alive" : "dead";
      return questions.ask(async (id) => {
        const reply = await run(roomScripts.probe, { appId, side, token }, [id]);
        return reply[0] === "asked" ? "asked" : "gone";
      });
    },

    async park(appId, side, waiter) {
      const name = `${node}/${++parked}`;
      waiters.set(name, waiter);
      try {
        const times = numberAt(await run(roomScripts.park, { appId, side }, [name]), 0);
        if (times > 0) return { times, unpark };
      } catch (error) {
        waiters.delete(name);
        throw error;
      }
      waiters.delete(name);
      clock.after(0, () => waiter.vacant());
      return { times: 1, unpark() {} };

      function unpark(): void {
        if (!waiters.delete(name)) return;
        run(roomScripts.unpark, { appId, side }, [name]).catch(() => {});
      }
    },
  };
}

import type { Seats, Taken, Waiter } from "../engine.ts";
import { LocalSeat, ownSeat } from "./local-seats.ts";
import type { SeatMessage } from "./messages.ts";
import { isNoSpace, type RedisNode } from "./node.ts";
import { beginRelay, receiveFrame } from "./relay.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { numberAt, type Reply, textAt } from "./store.ts";

/** Seats of all nodes. The node's channel is open before any take, so that no message is missed. */
export function redisSeats(node: RedisNode): Seats {
  const { clock, leaseMs } = node.options;
  let parked = 0;

  function seated(reply: Reply, seat: LocalSeat, early: readonly SeatMessage[]): Taken {
    const peerToken = numberAt(reply, 7);
    if (peerToken > 0) seat.peer = { token: peerToken, node: textAt(reply, 8) };
    seat.renewAt = clock.monotonicMs() + leaseMs / 3;
    const begin = numberAt(reply, 9);
    if (begin >= 0) seat.begin(begin);
    const handle = (message: SeatMessage) => node.handle(seat, message);
    for (const message of early) seat.deliver(message, handle);
    node.seats.add(seat);
    // Not before the taker has its answer, which is a few promises away.
    clock.after(0, () => seat.open());
    return {
      outcome: "taken",
      seat,
      peer: numberAt(reply, 2) === 1,
      firstPair: numberAt(reply, 3) === 1,
      held: numberAt(reply, 4),
      started: begin >= 0,
      lastSeq: numberAt(reply, 5),
      mailWaits: numberAt(reply, 6) === 1,
    };
  }

  return {
    async take(newcomer, how) {
      await node.store.subscribed();
      node.seats.expect(newcomer);
      let token = 0;
      let reply: Reply = [];
      let early: readonly SeatMessage[] = [];
      const askedAt = clock.monotonicMs();
      try {
        reply = await node.runTake(newcomer, how, newcomer.startsRelay ? "unheld" : "never");
        if (isNoSpace(reply[0])) return { outcome: reply[0] };
        token = numberAt(reply, 1);
      } finally {
        early = node.seats.arrived(newcomer, token);
      }
      if (reply[0] === "busy") return { outcome: "busy", token };
      const seat = new LocalSeat(newcomer, token);
      seat.leasedUntil = askedAt + leaseMs;
      return seated(reply, seat, early);
    },

    async leave(seat) {
      const own = ownSeat(seat);
      if (!own.isHeld) return false;
      own.isHeld = false;
      node.seats.remove(own);
      await own.healing?.catch(() => {});
      try {
        return numberAt(await node.run(roomScripts.leave, own), 0) === 1;
      } catch {
        // Its lease will end by itself. A peer on this node hears at once.
        const peer = node.peerHere(own);
        if (peer) node.handle(peer, { kind: "left", peerToken: own.token });
        return true;
      }
    },

    async probe(appId, side, token) {
      const here = node.seats.find({ appId, side, token });
      if (here && here === node.seats.latest(appId, side))
        return (await here.listener.probed()) ? "alive" : "dead";
      return node.questions.ask(async (id) => {
        const reply = await node.run(roomScripts.probe, { appId, side, token }, [id]);
        return reply[0] === "asked" ? "asked" : "gone";
      });
    },

    async park(appId, side, waiter: Waiter) {
      const name = `${node.options.node}/${++parked}`;
      node.waiters.set(name, waiter);
      try {
        const times = numberAt(await node.run(roomScripts.park, { appId, side }, [name]), 0);
        if (times > 0) return { times, unpark };
      } catch (error) {
        node.waiters.delete(name);
        throw error;
      }
      node.waiters.delete(name);
      clock.after(0, () => waiter.vacant());
      return { times: 1, unpark() {} };

      function unpark(): void {
        if (!node.waiters.delete(name)) return;
        node.run(roomScripts.unpark, { appId, side }, [name]).catch(() => {});
      }
    },
  };
}

/** Acts on a message for a seat of this node. */
export function handleSeatMessage(node: RedisNode, seat: LocalSeat, message: SeatMessage): void {
  const { listener } = seat;
  if (message.kind === "probe") return void answerProbe(node, seat, message);
  if (!seat.isHeld) return;
  switch (message.kind) {
    case "joined":
      seat.peerChanges++;
      if (seat.peer?.token === message.peerToken) return;
      seat.peer = { token: message.peerToken, node: message.peerNode };
      return listener.peerJoined();
    case "left":
      seat.peerChanges++;
      if (seat.peer?.token !== message.peerToken) return;
      seat.peer = undefined;
      return listener.peerLeft();
    case "mail":
      return listener.mailStored();
    case "congested":
      return listener.peerCongested();
    case "drained":
      return listener.peerDrained();
    case "vanished":
      return void node.runAsOwner(seat, roomScripts.renew).catch(() => {});
    case "replaced":
      return node.replaced(seat, message.why);
    case "begun":
      return beginRelay(node, seat, message.after);
    case "frame":
      return receiveFrame(node, seat, message);
    default:
      return message satisfies never;
  }
}

async function answerProbe(
  node: RedisNode,
  seat: LocalSeat,
  { question, node: asker }: SeatMessage & { readonly kind: "probe" },
): Promise<void> {
  const answer = (word: string) => node.tell(asker, `answer ${question} ${word}`);
  if (!seat.isHeld) return answer("dead");
  void answer("asking");
  await answer((await seat.listener.probed()) ? "alive" : "dead");
}

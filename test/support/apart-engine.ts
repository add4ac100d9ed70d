import type { AppId, Side } from "../../src/base/ids.ts";
import { otherSide } from "../../src/base/ids.ts";
import type { Engine, Newcomer, Seat, SeatListener } from "../../src/engine/engine.ts";
import { Changes } from "./waiting.ts";

/**
 * Two nodes, as one engine: each call goes to the next node, so that whoever comes is apart from
 * whoever came before. What a node learns a moment later than memory would is waited for here: an
 * engine in several processes can answer `congested` only by telling the sender afterwards.
 */
export function apart([one, two]: readonly [Engine, Engine]): Engine {
  let calls = 0;
  const next = () => (calls++ % 2 === 0 ? one : two);
  const nodeOf = new WeakMap<Seat, Engine>();
  const at = (seat: Seat) => nodeOf.get(seat) ?? one;
  const relayed = new Map<string, { frames: string[]; easy: boolean; changes: Changes }>();

  function ear(appId: AppId, side: Side) {
    const key = `${appId}/${side}`;
    const known = relayed.get(key) ?? { frames: [], easy: true, changes: new Changes() };
    relayed.set(key, known);
    return known;
  }

  function listening({ appId, side, listener }: Newcomer): SeatListener {
    const heard = ear(appId, side);
    return {
      relayed(frame, type) {
        heard.frames.push(frame);
        heard.easy = listener.relayed(frame, type);
        heard.changes.changed();
        return heard.easy;
      },
      peerJoined: () => listener.peerJoined(),
      peerLeft: () => listener.peerLeft(),
      peerCongested() {},
      peerDrained: () => listener.peerDrained(),
      mailStored: () => listener.mailStored(),
      replaced: (why) => listener.replaced(why),
      cutOff: () => listener.cutOff(),
      probed: () => listener.probed(),
    };
  }

  return {
    codes: {
      claim: (...args) => next().codes.claim(...args),
      guess: (...args) => next().codes.guess(...args),
      recentMisses: () => next().codes.recentMisses(),
    },
    rooms: {
      admits: (...args) => next().rooms.admits(...args),
      establish: (seat) => at(seat).rooms.establish(seat),
      grantIce: (...args) => next().rooms.grantIce(...args),
    },
    seats: {
      async take(newcomer, how) {
        const node = next();
        const taken = await node.seats.take({ ...newcomer, listener: listening(newcomer) }, how);
        if (taken.outcome === "taken") nodeOf.set(taken.seat, node);
        return taken;
      },
      leave: (seat) => at(seat).seats.leave(seat),
      probe: (...args) => next().seats.probe(...args),
      park: (...args) => next().seats.park(...args),
    },
    relay: {
      async publish(seat, frame, type) {
        const { appId, side } = seat;
        const heard = ear(appId, otherSide(side));
        const times = heard.frames.filter((text) => text === frame).length;
        const outcome = await at(seat).relay.publish(seat, frame, type);
        if (outcome !== "delivered") return outcome;
        const came = () => heard.frames.filter((text) => text === frame).length > times;
        await heard.changes.until(`"${frame}" on the other node`, came);
        return heard.easy ? "delivered" : "congested";
      },
      start: (seat, discard) => at(seat).relay.start(seat, discard),
      drained: (seat) => at(seat).relay.drained(seat),
    },
    mailboxes: {
      append: (seat, ...rest) => at(seat).mailboxes.append(seat, ...rest),
      read: (seat, ...rest) => at(seat).mailboxes.read(seat, ...rest),
      ack: (seat, upTo) => at(seat).mailboxes.ack(seat, upTo),
      hello: (seat, upTo) => at(seat).mailboxes.hello(seat, upTo),
    },
    now: () => one.now(),
    ready: () => next().ready(),
    async sweep() {
      await Promise.all([one.sweep(), two.sweep()]);
    },
    sizes: () => next().sizes(),
    close: async () => {
      await Promise.all([one.close(), two.close()]);
    },
  };
}

import type { AppId, Side } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import {
  type Claimable,
  type Engine,
  EngineFull,
  EngineUnreachable,
  type Newcomer,
  type Parked,
  type RelayOutcome,
  type Seat,
  type SeatListener,
  type Taken,
  type Waiter,
} from "./engine.ts";
import type { Verbs } from "./rules/rules.ts";
import { whyReplaced } from "./rules/seats.ts";
import {
  type Frame,
  type Holder,
  type Known,
  type Message,
  type Occupant,
  otherSide,
  type ProbeAnswer,
  type SeatEvent,
} from "./rules/turn.ts";

/** The holder of a seat. The seat is this node's, or exists only in the store. */
export type Asker = Holder & Seat;

/** What `Connections` needs from an engine: turns at rooms, and messages to other nodes. */
export interface Host {
  readonly node: string;
  /** There are no other nodes: every turn returns a value, not a promise, and `send` is not called. */
  readonly isAlone: boolean;
  /**
   * Runs a verb as a turn at a room (see rules.ts). The turn's messages to this node are delivered before
   * its answer. Rejects with `EngineUnreachable`, or with `EngineFull` if the store has no space for the
   * new data.
   */
  turn<V extends keyof Verbs>(
    appId: AppId,
    verb: V,
    holder: Asker | undefined,
    ...args: Verbs[V]["args"]
  ): MaybePromise<Verbs[V]["answer"]>;
  /** Sends a message to another node, in order. It is lost if the store is unreachable or loses data. */
  send(node: string, message: Message): void;
  /** Deletes expired entries, unless that was done within the last second. */
  sweepIfDue(): MaybePromise<void>;
  after(ms: number, run: () => void): () => void;
}

/** A seat whose connection is on this node. There are many of them, so it has only the fields it needs. */
export class LocalSeat implements Seat, Holder {
  /** False once it was left, replaced or cut off. */
  isHeld = true;
  /** Events that came before its taker knew that it has the seat; undefined afterwards. */
  early: SeatEvent[] | undefined;
  peer: Occupant | undefined;
  /** The peer's seat, if it is on this node too. Frames go straight to it once its relay has started. */
  peerHere: LocalSeat | undefined;
  /** The seat of the other side on this node. It need not be the peer: one of them may be outdated. */
  mate: LocalSeat | undefined;
  /** For the host's own data. */
  slot: unknown;
  /** `known` and `far` are undefined if there are no other nodes. */
  known: Known | undefined;
  far: Far | undefined;

  constructor(
    readonly appId: AppId,
    readonly side: Side,
    readonly token: number,
    readonly listener: SeatListener,
    public isStarted: boolean,
  ) {}
}

/** The part of a seat that is needed only if there are other nodes. */
interface Far {
  /** The newest token known to have been on the other side. */
  lastPeer: number;
  /** Frames that came during its `start` or `check`. They are delivered after the held frames. */
  waiting: Frame[] | undefined;
  /** Frames for the next publish call; undefined while no call is under way. */
  outgoing: OutgoingFrame[] | undefined;
}

/** A message for this node, or an event for one of its seats. */
export type Heard =
  | Message
  | { readonly to: "here"; readonly seat: LocalSeat; readonly event: SeatEvent };

/** A frame whose publisher waits for its outcome. */
interface OutgoingFrame extends Frame {
  readonly resolve: (outcome: RelayOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Takes of one room that have no answer yet. */
interface Arriving {
  takes: number;
  /** Events for tokens that are not known here yet. The answer of a take may show that the token is its own. */
  early: (Seat & { readonly event: SeatEvent })[] | undefined;
}

/** A node that has not sent `asking` within this time is gone, and the occupant with it. */
const silentMs = 1_500;
/** After `asking`, a node has this long to answer: its own probe ends within 5 s. */
const askingMs = 6_000;

/** For a connection that has neither read nor sent mail. */
const nothingYet = { readSeq: 0, readStamp: 0, sentSeq: 0, acked: 0, storedA: 0, storedB: 0 };

/** Callers only pass seats that `take` returned. */
const own = (seat: Seat) => seat as LocalSeat;
/** Ignores failures: the next request of the seat, or the end of its lease, makes up for them. */
const unheard = (answer: MaybePromise<unknown>) => void Promise.resolve(answer).catch(() => {});
/** A lone surrogate would be replaced in UTF-8, and two ids could become equal. Escapes it. */
const storable = (text: string) => (text.isWellFormed() ? text : JSON.stringify(text));

/** The seats of this node, and the engine's verbs for rooms over any host. */
export class Connections implements Pick<Engine, "rooms" | "seats" | "relay" | "mailboxes"> {
  /** One seat of each room. Its `mate` is the other side's. */
  private readonly local = new Map<AppId, LocalSeat>();
  private readonly arriving = new Map<AppId, Arriving>();
  private readonly waiters = new Map<string, Waiter>();
  private readonly questions = new Map<string, (answer: ProbeAnswer) => void>();
  private names = 0;

  constructor(private readonly host: Host) {}

  // ---- the engine's verbs ----

  readonly rooms: Engine["rooms"] = {
    establish: (seat) => {
      const mine = own(seat);
      return mine.isHeld ? this.host.turn(mine.appId, "establish", mine) : undefined;
    },
    allowsIce: (appId, side, mustBeRedeemed) =>
      this.host.turn(appId, "allowsIce", undefined, side, mustBeRedeemed),
  };

  readonly seats: Engine["seats"] = {
    take: (newcomer, how) => this.take(newcomer, how),
    leave: (seat) => {
      const mine = own(seat);
      if (!mine.isHeld) return false;
      const { peerHere } = mine;
      this.end(mine);
      return andThen(
        this.host.turn(mine.appId, "leave", mine),
        (left) => left,
        () => {
          // The host retries the leave. A peer on this node is notified at once.
          if (peerHere) this.act(peerHere, { kind: "left", token: mine.token });
          return true;
        },
      );
    },
    probe: (appId, side, token) => this.probe(appId, side, token),
    park: (appId, side, waiter) => this.park(appId, side, waiter),
  };

  readonly relay: Engine["relay"] = {
    publish: (seat, text, type) => {
      const mine = own(seat);
      const { peerHere } = mine;
      if (peerHere?.isStarted && !peerHere.early && !mine.far?.outgoing) {
        return peerHere.listener.relayed(text, type) ? "delivered" : "congested";
      }
      return this.publish(mine, { type, text });
    },
    start: (seat, discard) => {
      const mine = own(seat);
      if (!mine.isHeld || mine.isStarted) return;
      if (mine.far) mine.far.waiting ??= [];
      const started = this.host.turn(mine.appId, "start", mine, discard);
      if (!(started instanceof Promise)) return started;
      return this.orCutOff(mine, started, undefined).then(
        () => this.handOnWaiting(mine),
        () => {},
      );
    },
    drained: (seat) => {
      if (own(seat).isHeld) this.tellPeer(own(seat), { kind: "drained" });
    },
  };

  readonly mailboxes: Engine["mailboxes"] = {
    append: (seat, to, given) => {
      const { id } = given;
      const mine = own(seat);
      if (!mine.isHeld) return { outcome: "replaced" };
      const mail = id === undefined || id.isWellFormed() ? given : { ...given, id: storable(id) };
      const answer = this.host.turn(mine.appId, "append", mine, to, mail);
      if (!(answer instanceof Promise)) return answer;
      return this.orCutOff(mine, answer, { outcome: "full" }).then((appended) => {
        const { known } = mine;
        if (known && appended.outcome === "stored" && !appended.isElsewhere) {
          const stored = to === "A" ? "storedA" : "storedB";
          known[stored] = Math.max(known[stored], appended.seq);
        }
        return appended;
      });
    },
    read: (seat, after, maxBytes) => {
      const mine = own(seat);
      if (!mine.isHeld) return [];
      const answer = this.host.turn(mine.appId, "read", mine, after, maxBytes);
      if (!(answer instanceof Promise)) return answer?.mails ?? [];
      return answer.then((found) => {
        const { known } = mine;
        if (found === undefined || !known) return [];
        known.readSeq = Math.max(known.readSeq, found.mails.at(-1)?.seq ?? 0);
        known.sentSeq = known.readSeq;
        known.readStamp = Math.max(known.readStamp, found.stamp);
        return found.mails;
      });
    },
    ack: (seat, upTo) => {
      const mine = own(seat);
      // If this call fails, the next one for this seat sends `acked` again.
      const { known } = mine;
      if (known) known.acked = Math.max(known.acked, Math.min(upTo, known.readSeq));
      return mine.isHeld ? this.host.turn(mine.appId, "ack", mine, upTo) : undefined;
    },
    hello: (seat, upTo) => {
      const mine = own(seat);
      if (!mine.isHeld) return { moved: 0, before: 0 };
      const answer = this.host.turn(mine.appId, "hello", mine, upTo);
      if (!(answer instanceof Promise)) return answer;
      return this.orCutOff(mine, answer, { moved: 0, before: 0 }).then((found) => {
        const { known } = mine;
        if (!known) return found;
        known.readSeq = Math.max(known.readSeq + found.moved, found.before);
        known.sentSeq = Math.max(known.sentSeq, found.before);
        known.acked = Math.max(known.acked, found.before);
        return found;
      });
    },
  };

  // ---- called by the host ----

  /** The seats of this node. */
  *held(): Iterable<LocalSeat> {
    for (const seat of this.local.values()) {
      yield seat;
      if (seat.mate) yield seat.mate;
    }
  }

  /** A message for this node, from a turn or from another node. */
  hear(message: Heard): void {
    switch (message.to) {
      case "here":
        return this.tell(message.seat, message.event);
      case "seat": {
        const { appId, side, token, event } = message;
        const seat = this.find(appId, side);
        if (seat?.token === token) return this.tell(seat, event);
        const arriving = this.arriving.get(appId);
        if (arriving === undefined) return this.heardForAbsent(message);
        arriving.early ??= [];
        arriving.early.push(message);
        return;
      }
      case "waiter":
        return this.waiters.get(message.name)?.[message.event]();
      case "asker":
        return this.questions.get(message.question)?.(message.answer);
      default:
        message satisfies never;
    }
  }

  /** Gives a seat up: its client may reconnect to another node. */
  cutOff(seat: LocalSeat): void {
    if (!seat.isHeld) return;
    this.end(seat);
    seat.listener.cutOff();
    unheard(this.host.turn(seat.appId, "leave", seat));
  }

  /**
   * Checks with the store that the connection still holds the seat, and delivers the events it missed.
   * `framesLost`: frames from other nodes may be lost, so the pair has to negotiate again. The peer is told
   * too: it does not know that its frames did not arrive.
   */
  async recheck(seat: LocalSeat, framesLost = false): Promise<void> {
    const { peer, far } = seat;
    // The answer may bring held frames. Frames that come by the stream meanwhile come after them.
    if (far) far.waiting ??= [];
    const checked = Promise.resolve(this.host.turn(seat.appId, "check", seat, framesLost));
    const found = await checked.finally(() => seat.isStarted && this.handOnWaiting(seat));
    if (!seat.isHeld) return;
    if (found.started) this.act(seat, { kind: "started" });
    const isSame = seat.peer === peer;
    if (found.peer) this.act(seat, { kind: "joined", peer: found.peer });
    else if (peer && isSame) this.act(seat, { kind: "left", token: peer.token });
    if (framesLost && peer && seat.peer === peer && !seat.peerHere) seat.listener.peerJoined();
    if (found.lastSeq > (seat.known?.readSeq ?? 0)) seat.listener.mailStored();
    seat.listener.peerDrained();
  }

  /** Whether the seat is on this node, or may be: a take of its room has no answer yet. */
  knows({ appId, side, token }: Seat): boolean {
    return this.arriving.has(appId) || this.find(appId, side)?.token === token;
  }

  /**
   * Gives up a seat that only the store has: the store forgot that it was left, or its taker never got the
   * answer.
   */
  disown({ appId, side, token }: Seat): void {
    unheard(this.host.turn(appId, "leave", { appId, side, token, isStarted: false }));
  }

  /** Handles an event for a seat that is not on this node: usually it has just ended. */
  private heardForAbsent(message: Extract<Message, { to: "seat" }>): void {
    const { event } = message;
    if (event.kind === "check") this.disown(message);
    if (event.kind !== "probe") return;
    this.send(event.node, { to: "asker", question: event.question, answer: "dead" });
  }

  // ---- asking ----

  /** Gives the seat up if the store is unreachable. A full store answers `whenFull`. */
  private orCutOff<T>(seat: LocalSeat, answer: Promise<T>, whenFull: T): Promise<T> {
    return answer.catch((error: unknown) => {
      if (error instanceof EngineFull) return whenFull;
      if (error instanceof EngineUnreachable) this.cutOff(seat);
      throw error;
    });
  }

  // ---- taking and ending seats ----

  private take(newcomer: Newcomer, how: Claimable): ReturnType<Engine["seats"]["take"]> {
    const { appId, side, accounts } = newcomer;
    const taker = { side, sid: storable(newcomer.sid), accounts };
    const arriving = this.arriving.get(appId) ?? { takes: 0, early: undefined };
    this.arriving.set(appId, arriving);
    arriving.takes++;
    const ask = () => this.host.turn(appId, "take", undefined, taker, how);
    return andThen(
      // Expired entries may use the space: delete them and try once more.
      andThen(ask(), (answer) =>
        answer.outcome === "full" || answer.outcome === "share_full"
          ? andThen(this.host.sweepIfDue(), ask)
          : answer,
      ),
      (answer) => {
        const early = this.noLongerArriving(appId, arriving);
        return answer.outcome === "taken" ? this.arrived(newcomer, answer, early) : answer;
      },
      (error) => {
        this.noLongerArriving(appId, arriving);
        throw error;
      },
    );
  }

  private arrived(
    { appId, side, sid, accounts, listener }: Newcomer,
    answer: Extract<Verbs["take"]["answer"], { outcome: "taken" }>,
    early: Arriving["early"] = [],
  ): Taken {
    const { token, peer, firstPair, held, lastSeq, mailWaits } = answer;
    const seat = new LocalSeat(appId, side, token, listener, held === 0);
    if (!this.host.isAlone) {
      const { redeemed } = answer;
      seat.known = { sid: storable(sid), accounts, redeemed, ...nothingYet };
      seat.far = { lastPeer: 0, waiting: undefined, outgoing: undefined };
    }
    const before = this.find(appId, side);
    if (before) this.giveWay(before, storable(sid));
    this.add(seat);
    seat.early = [];
    for (const to of early) if (to.side === side && to.token === token) seat.early.push(to.event);
    if (peer) this.meet(seat, peer);
    // With other nodes, the taker gets its answer a few microtasks later.
    if (this.host.isAlone) this.open(seat);
    else this.host.after(0, () => this.open(seat));
    const outcome = "taken";
    const isTwo = peer !== undefined;
    return { outcome, seat, peer: isTwo, firstPair, held, lastSeq, mailWaits };
  }

  /** Ends a seat that a newer one replaced. Its `replaced` event may still be under way. */
  private giveWay(seat: LocalSeat, sid: string): void {
    this.part(seat);
    this.remove(seat);
    if (seat.early?.some(({ kind }) => kind === "replaced")) return;
    this.tell(seat, { kind: "replaced", why: whyReplaced(sid, seat.known?.sid ?? "") });
  }

  /** Returns the events that came for takers of the room meanwhile. */
  private noLongerArriving(appId: AppId, arriving: Arriving): Arriving["early"] {
    arriving.takes--;
    if (arriving.takes === 0) this.arriving.delete(appId);
    return arriving.early;
  }

  private find(appId: AppId, side: Side): LocalSeat | undefined {
    const seat = this.local.get(appId);
    return seat?.side === side ? seat : seat?.mate;
  }

  /** Its side must not have a seat here yet. */
  private add(seat: LocalSeat): void {
    const mate = this.local.get(seat.appId);
    if (mate === undefined) return void this.local.set(seat.appId, seat);
    mate.mate = seat;
    seat.mate = mate;
  }

  private remove(seat: LocalSeat): void {
    const { appId, mate } = seat;
    if (mate) mate.mate = undefined;
    seat.mate = undefined;
    if (this.local.get(appId) !== seat) return;
    if (mate) this.local.set(appId, mate);
    else this.local.delete(appId);
  }

  /** The taker knows that it has the seat. */
  private open(seat: LocalSeat): void {
    const { early } = seat;
    seat.early = undefined;
    for (const event of early ?? []) this.act(seat, event);
  }

  private end(seat: LocalSeat): void {
    seat.isHeld = false;
    this.part(seat);
    this.remove(seat);
  }

  /** Sets the peer. */
  private meet(seat: LocalSeat, peer: Occupant): void {
    const { token, node } = peer;
    this.part(seat);
    seat.peer = peer;
    if (seat.far) seat.far.lastPeer = token;
    const here = seat.mate;
    if (here?.token !== token || node !== this.host.node) return;
    seat.peerHere = here;
    if (here.peer?.token === seat.token) here.peerHere = seat;
  }

  /** Clears the peer. */
  private part(seat: LocalSeat): void {
    if (seat.peerHere?.peerHere === seat) seat.peerHere.peerHere = undefined;
    seat.peerHere = undefined;
    seat.peer = undefined;
  }

  // ---- events of seats ----

  private tell(seat: LocalSeat, event: SeatEvent): void {
    if (seat.early) seat.early.push(event);
    else this.act(seat, event);
  }

  private tellPeer({ appId, side, peer, peerHere }: LocalSeat, event: SeatEvent): void {
    if (peerHere) return this.tell(peerHere, event);
    if (peer === undefined) return;
    this.send(peer.node, { to: "seat", appId, side: otherSide(side), token: peer.token, event });
  }

  private send(node: string, message: Message): void {
    if (node === this.host.node) this.hear(message);
    else this.host.send(node, message);
  }

  private act(seat: LocalSeat, event: SeatEvent): void {
    const { listener } = seat;
    if (event.kind === "probe") return void this.answerProbe(seat, event);
    if (!seat.isHeld) return;
    switch (event.kind) {
      case "joined":
        return this.peerJoined(seat, event.peer);
      case "left":
        return this.peerLeft(seat, event.token);
      case "started":
        // A seat that has started may get held frames too: the store held them while it had lost the seat.
        this.relayAll(seat, event.held ?? []);
        if (seat.isStarted) return;
        seat.isStarted = true;
        return this.handOnWaiting(seat);
      case "frame":
        if (seat.far?.waiting) return void seat.far.waiting.push(event);
        if (!seat.isStarted) this.act(seat, { kind: "started" });
        return this.relayAll(seat, [event]);
      case "replaced":
        this.end(seat);
        return listener.replaced(event.why);
      case "mail":
        return listener.mailStored();
      case "congested":
        return listener.peerCongested();
      case "drained":
        return listener.peerDrained();
      case "check":
        return unheard(this.recheck(seat));
      case "again":
        return seat.peerHere ? undefined : listener.peerJoined();
      default:
        event satisfies never;
    }
  }

  /** Ignores a peer that is already known or older than the known one. */
  private peerJoined(seat: LocalSeat, peer: Occupant): void {
    const { token } = peer;
    const lastPeer = seat.far?.lastPeer ?? 0;
    if (token < lastPeer || token === seat.peer?.token) return;
    if (seat.peer) seat.listener.peerLeft();
    this.meet(seat, peer);
    seat.listener.peerJoined();
  }

  private peerLeft(seat: LocalSeat, token: number): void {
    const { far, peerHere } = seat;
    if (far && token < far.lastPeer) return;
    // The lease of this node had ended, and the store gave up a seat that is still held. `recheck` restores it.
    if (peerHere?.token === token && peerHere.isHeld && !peerHere.early) {
      return unheard(this.recheck(peerHere));
    }
    if (far) far.lastPeer = token;
    if (seat.peer === undefined) return;
    this.part(seat);
    seat.listener.peerLeft();
  }

  private relayAll(seat: LocalSeat, frames: readonly Frame[]): void {
    let writable = true;
    for (const { text, type } of frames) {
      if (seat.isHeld) writable = seat.listener.relayed(text, type);
    }
    if (!writable) this.tellPeer(seat, { kind: "congested" });
  }

  private handOnWaiting(seat: LocalSeat): void {
    const { far } = seat;
    const waiting = far?.waiting ?? [];
    if (far) far.waiting = undefined;
    for (const { type, text } of waiting) this.act(seat, { kind: "frame", type, text });
  }

  // ---- frames that cannot go straight to the peer ----

  private publish(seat: LocalSeat, frame: Frame): MaybePromise<RelayOutcome> {
    const { peerHere, far } = seat;
    if (!seat.isHeld) return "replaced";
    if (peerHere?.isStarted && peerHere.early && !far?.outgoing) {
      peerHere.early.push({ kind: "frame", ...frame });
      return "delivered";
    }
    if (far) return this.publishTogether(seat, far, frame);
    const [outcome] = this.host.turn(seat.appId, "publish", seat, [
      frame,
    ]) as readonly RelayOutcome[];
    return outcome ?? "replaced";
  }

  /** Collects the frames published in one tick, or during a call under way, for one call. */
  private publishTogether(seat: LocalSeat, far: Far, frame: Frame): Promise<RelayOutcome> {
    return new Promise((resolve, reject) => {
      const outgoing = { ...frame, resolve, reject };
      if (far.outgoing) return void far.outgoing.push(outgoing);
      far.outgoing = [outgoing];
      queueMicrotask(() => void this.publishOutgoing(seat, far));
    });
  }

  private async publishOutgoing(seat: LocalSeat, far: Far): Promise<void> {
    for (let frames = far.outgoing; frames?.length; frames = far.outgoing) {
      far.outgoing = [];
      const plain = frames.map(({ type, text }) => ({ type, text }));
      const whenFull = frames.map(() => "hold_full" as const);
      try {
        const answer = seat.isHeld ? this.host.turn(seat.appId, "publish", seat, plain) : [];
        const outcomes = await this.orCutOff(seat, Promise.resolve(answer), whenFull);
        for (const [i, { resolve }] of frames.entries()) resolve(outcomes[i] ?? "replaced");
      } catch (error) {
        for (const { reject } of frames) reject(error);
      }
    }
    far.outgoing = undefined;
  }

  // ---- waiting for a seat, and probing its occupant ----

  private park(appId: AppId, side: Side, waiter: Waiter): MaybePromise<Parked | undefined> {
    const ref = { node: this.host.node, name: String(++this.names) };
    const forget = () => this.waiters.delete(ref.name);
    this.waiters.set(ref.name, waiter);
    return andThen(
      this.host.turn(appId, "park", undefined, side, ref),
      (times) => {
        if (times > 0) {
          return {
            times,
            unpark: () =>
              forget() && unheard(this.host.turn(appId, "unpark", undefined, side, ref)),
          };
        }
        forget();
        return undefined;
      },
      (error) => {
        forget();
        throw error;
      },
    );
  }

  private async probe(appId: AppId, side: Side, token: number): Promise<"alive" | "dead" | "gone"> {
    const here = this.find(appId, side);
    if (here?.token === token) return (await here.listener.probed()) ? "alive" : "dead";
    if (this.host.isAlone) return "gone";
    const id = String(++this.names);
    const answered = Promise.withResolvers<"alive" | "dead" | "gone">();
    // No answer means dead.
    let cancel = this.host.after(silentMs, () => settle("dead"));
    const settle = (answer: ProbeAnswer) => {
      cancel();
      if (answer === "asking") {
        cancel = this.host.after(askingMs, () => settle("dead"));
        return;
      }
      this.questions.delete(id);
      answered.resolve(answer);
    };
    this.questions.set(id, settle);
    try {
      if ((await this.host.turn(appId, "probe", undefined, { side, token }, id)) === "gone")
        settle("gone");
    } catch (error) {
      settle("gone");
      throw error;
    }
    return answered.promise;
  }

  private async answerProbe(
    seat: LocalSeat,
    { question, node }: Extract<SeatEvent, { kind: "probe" }>,
  ): Promise<void> {
    const say = (answer: ProbeAnswer) => this.send(node, { to: "asker", question, answer });
    if (!seat.isHeld) return say("dead");
    say("asking");
    say((await seat.listener.probed()) ? "alive" : "dead");
  }
}

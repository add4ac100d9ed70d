import type { Account } from "../base/account.ts";
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
import type { RoomVerbs, SeatVerbs } from "./rules/rules.ts";
import {
  type Call,
  type Frame,
  type Holder,
  type Message,
  type Occupant,
  otherSide,
  type SeatAddress,
  type SeatEvent,
} from "./rules/turn.ts";

/** Where rooms are kept, and how nodes reach each other. */
export interface Host {
  readonly node: string;
  /** There are no other nodes: every turn answers at once, and `send` has nobody to send to. */
  readonly isAlone: boolean;
  /**
   * Gives a verb its turn at a room. What the turn tells this node is heard before it answers. Rejects
   * with `EngineUnreachable`, or with `EngineFull` where there is no space for what it would have added.
   */
  turn(appId: AppId, call: Call): MaybePromise<unknown>;
  /** Sends a message to another node, in order; it may get lost with the store. */
  send(node: string, message: Message): void;
  /** Lets so many empty rooms give way, the oldest first. */
  makeSpace(rooms: number): MaybePromise<void>;
  /** Forgets what is over, unless that was done a moment ago. */
  sweepIfDue(): MaybePromise<void>;
  after(ms: number, run: () => void): () => void;
}

/** A seat whose connection is on this node, and what the node knows of it. */
export class LocalSeat implements Seat, Holder {
  /** False from the moment on at which it was left, replaced or cut off. */
  isHeld = true;
  /** What was told before its taker knew that it has the seat; undefined from then on. */
  early: SeatEvent[] | undefined;
  /** Frames that came while its own `start` was under way: what was held comes before them. */
  waiting: Frame[] | undefined;
  /** Frames from this node may go straight to it: it is held, started, and nothing waits before them. */
  flows = false;
  peer: Occupant | undefined;
  /** The peer's, where that is on this node too. */
  peerHere: LocalSeat | undefined;
  /** The newest token known to have been on the other side. */
  lastPeer = 0;
  /** Frames that go to the store in its next call; undefined while none is under way either. */
  outgoing: OutgoingFrame[] | undefined;
  readSeq = 0;
  sentSeq = 0;
  readStamp = 0;
  acked = 0;
  storedA = 0;
  storedB = 0;

  constructor(
    readonly appId: AppId,
    readonly side: Side,
    readonly token: number,
    readonly sid: string,
    readonly accounts: readonly Account[],
    readonly listener: SeatListener,
    public isStarted: boolean,
  ) {}
}

/** A frame whose publisher waits for what becomes of it. */
interface OutgoingFrame extends Frame {
  readonly resolve: (outcome: RelayOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** The seats of one room on this node. */
interface LocalRoom {
  A: LocalSeat | undefined;
  B: LocalSeat | undefined;
  /** Newcomers whose answer is under way, and what came for tokens that they may turn out to have. */
  arriving: number;
  early: (SeatAddress & { readonly event: SeatEvent })[] | undefined;
}

type ProbeAnswer = "asking" | "alive" | "dead" | "gone";

/** A node that has not answered `asking` by then is gone, and its seat's holder with it. */
const silentMs = 1_500;
/** A node that is asking answers by then: its own probe ends within 5 s. */
const askingMs = 6_000;
/** Seats that ended lately: what is still told to them shows no ghost. */
const mostEnded = 1_024;

/** Only seats that `take` gave out come back. */
const own = (seat: Seat) => seat as LocalSeat;
const nameOf = ({ appId, side, token }: SeatAddress) => `${appId}/${side}/${token}`;
/** A text that JSON and UTF-8 keep apart from all others: half a surrogate pair would not be. */
const storable = (text: string) => (text.isWellFormed() ? text : JSON.stringify(text));

/** The engine's verbs about rooms, over any host, and the connections of this node. */
export class Connections implements Pick<Engine, "rooms" | "seats" | "relay" | "mailboxes"> {
  private readonly local = new Map<AppId, LocalRoom>();
  private readonly waiters = new Map<string, Waiter>();
  private readonly questions = new Map<string, (answer: ProbeAnswer) => void>();
  private readonly ended = new Set<string>();
  private names = 0;

  constructor(private readonly host: Host) {}

  // ---- the engine's verbs ----

  readonly rooms: Engine["rooms"] = {
    admits: (appId, accounts) =>
      this.inSpace(
        () => this.ask(appId, "admission", accounts),
        (answer) => answer !== "admitted",
      ),
    establish: (seat) => {
      const mine = own(seat);
      return mine.isHeld ? this.askAs(mine, "establish") : undefined;
    },
    grantIce: (appId, side, terms) => this.ask(appId, "grantIce", side, terms),
  };

  readonly seats: Engine["seats"] = {
    take: (newcomer, how) => this.take(newcomer, how),
    leave: (seat) => {
      const mine = own(seat);
      if (!mine.isHeld) return false;
      const { peerHere } = mine;
      this.end(mine);
      return andThen(
        this.askAs(mine, "leave"),
        (left) => left,
        () => {
          // The store finds out when it is asked again. A peer on this node hears at once.
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
      if (peerHere?.flows && mine.outgoing === undefined) {
        return peerHere.listener.relayed(text, type) ? "delivered" : "congested";
      }
      return this.publish(mine, { type, text });
    },
    start: (seat, discard) => {
      const mine = own(seat);
      if (!mine.isHeld || mine.isStarted) return;
      if (!this.host.isAlone) mine.waiting ??= [];
      const started = this.orCutOff(mine, this.askAs(mine, "start", discard), undefined);
      return andThen(
        started,
        () => this.handOnWaiting(mine),
        () => {},
      );
    },
    drained: (seat) => {
      if (own(seat).isHeld) this.tellPeer(own(seat), { kind: "drained" });
    },
  };

  readonly mailboxes: Engine["mailboxes"] = {
    append: (seat, to, { payload, id, strict }) => {
      const mine = own(seat);
      if (!mine.isHeld) return { outcome: "replaced" };
      const mail = { payload, id: id === undefined ? id : storable(id), strict };
      const answer = this.askAs(mine, "append", to, mail);
      return andThen(this.orCutOff(mine, answer, { outcome: "full" }), (appended) => {
        if (appended.outcome !== "stored") return appended;
        if (to === "A") mine.storedA = Math.max(mine.storedA, appended.seq);
        else mine.storedB = Math.max(mine.storedB, appended.seq);
        return appended;
      });
    },
    read: (seat, after, maxBytes) => {
      const mine = own(seat);
      if (!mine.isHeld) return [];
      return andThen(this.askAs(mine, "read", after, maxBytes), (found) => {
        if (found === undefined) return [];
        mine.readSeq = Math.max(mine.readSeq, found.mails.at(-1)?.seq ?? 0);
        mine.sentSeq = mine.readSeq;
        mine.readStamp = Math.max(mine.readStamp, found.stamp);
        return found.mails;
      });
    },
    ack: (seat, upTo) => {
      const mine = own(seat);
      // Should it find no store, the next that is asked for this seat makes up for it.
      mine.acked = Math.max(mine.acked, Math.min(upTo, mine.readSeq));
      return mine.isHeld ? this.askAs(mine, "ack", upTo) : undefined;
    },
    hello: (seat, upTo) => {
      const mine = own(seat);
      if (!mine.isHeld) return { moved: 0, before: 0 };
      const answer = this.askAs(mine, "hello", upTo);
      return andThen(this.orCutOff(mine, answer, { moved: 0, before: 0 }), (found) => {
        mine.readSeq = Math.max(mine.readSeq + found.moved, found.before);
        mine.sentSeq = Math.max(mine.sentSeq, found.before);
        mine.acked = Math.max(mine.acked, found.before);
        return found;
      });
    },
  };

  // ---- what a host calls ----

  /** The seats of this node. */
  *held(): Iterable<LocalSeat> {
    for (const { A, B } of this.local.values()) {
      if (A) yield A;
      if (B) yield B;
    }
  }

  /** A message for this node, from a turn or from another node. */
  hear(message: Message): void {
    switch (message.to) {
      case "seat": {
        const room = this.local.get(message.appId);
        const seat = room?.[message.side];
        if (seat?.token === message.token) return this.tell(seat, message.event);
        if (!room || room.arriving === 0) return this.disown(message);
        room.early ??= [];
        room.early.push(message);
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

  /** Gives a seat up: its connection had better go to another node. */
  cutOff(seat: LocalSeat): void {
    if (!seat.isHeld) return;
    this.end(seat);
    seat.listener.cutOff();
    void this.leaveQuietly(seat);
  }

  /**
   * Looks whether a seat is this connection's still, and what it has missed. `framesLost`: frames from
   * other nodes may be among that, so that the pair should begin anew.
   */
  async recheck(seat: LocalSeat, framesLost = false): Promise<void> {
    const { peer } = seat;
    const found = await this.askAs(seat, "check");
    if (!seat.isHeld) return;
    if (found.started) this.act(seat, { kind: "started" });
    const isSame = seat.peer === peer;
    if (found.peer) this.act(seat, { kind: "joined", ...found.peer });
    else if (peer && isSame) this.act(seat, { kind: "left", token: peer.token });
    if (framesLost && peer && seat.peer === peer && !seat.peerHere) seat.listener.peerJoined();
    if (found.lastSeq > seat.readSeq) seat.listener.mailStored();
    seat.listener.peerDrained();
  }

  /** Whether the seat is here, or may turn out to be: its taker has no answer yet. */
  knows({ appId, side, token }: SeatAddress): boolean {
    const room = this.local.get(appId);
    return room !== undefined && (room.arriving > 0 || room[side]?.token === token);
  }

  /**
   * Something is told to, or kept for, a seat that this node does not have: the store forgot that it was
   * left, or its taker never got the answer. It is given up.
   */
  disown(to: SeatAddress & { readonly event?: SeatEvent }): void {
    const { appId, side, token, event } = to;
    if (event?.kind === "probe") {
      this.send(event.node, { to: "asker", question: event.question, answer: "dead" });
    } else if (!this.host.isAlone && (event === undefined || !this.ended.has(nameOf(to)))) {
      void this.leaveQuietly(new LocalSeat(appId, side, token, "", [], nobody, false));
    }
  }

  // ---- asking ----

  private ask<V extends keyof RoomVerbs>(
    appId: AppId,
    verb: V,
    ...args: RoomVerbs[V]["args"]
  ): MaybePromise<RoomVerbs[V]["answer"]> {
    return this.host.turn(appId, { verb, args }) as MaybePromise<RoomVerbs[V]["answer"]>;
  }

  private askAs<V extends keyof SeatVerbs>(
    holder: LocalSeat,
    verb: V,
    ...args: SeatVerbs[V]["args"]
  ): MaybePromise<SeatVerbs[V]["answer"]> {
    const answer = this.host.turn(holder.appId, { verb, args, holder });
    return answer as MaybePromise<SeatVerbs[V]["answer"]>;
  }

  /** For what may not be left undone: the seat is given up when no answer comes. */
  private orCutOff<T>(seat: LocalSeat, answer: MaybePromise<T>, whenFull: T): MaybePromise<T> {
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error: unknown) => {
      if (error instanceof EngineFull) return whenFull;
      if (error instanceof EngineUnreachable) this.cutOff(seat);
      throw error;
    });
  }

  /** Runs a verb that needs space for a room; refused, it runs again once what is over is forgotten. */
  private inSpace<T>(
    run: () => MaybePromise<T>,
    isRefused: (answer: T) => boolean,
  ): MaybePromise<T> {
    return andThen(run(), (answer) =>
      isRefused(answer) ? andThen(this.host.sweepIfDue(), run) : answer,
    );
  }

  private async leaveQuietly(seat: LocalSeat): Promise<void> {
    this.noteEnd(seat);
    try {
      await this.askAs(seat, "leave");
    } catch {
      // The host finds it among the seats of this node when the store can be asked again.
    }
  }

  // ---- seats come and go ----

  private take(newcomer: Newcomer, how: Claimable): ReturnType<Engine["seats"]["take"]> {
    const { appId, side, accounts, startsRelay } = newcomer;
    const taker = { side, sid: storable(newcomer.sid), accounts, startsRelay };
    const room = this.localRoom(appId);
    room.arriving++;
    return andThen(
      this.inSpace(
        () => this.ask(appId, "take", taker, how),
        ({ outcome }) => outcome === "full" || outcome === "share_full",
      ),
      (answer) => {
        if (answer.outcome === "taken") return this.arrived(room, newcomer, answer);
        this.noLongerArriving(appId, room);
        return answer;
      },
      (error) => {
        this.noLongerArriving(appId, room);
        throw error;
      },
    );
  }

  private arrived(
    room: LocalRoom,
    { appId, side, sid, accounts, listener }: Newcomer,
    answer: Extract<RoomVerbs["take"]["answer"], { outcome: "taken" }>,
  ): MaybePromise<Taken> {
    const { token, peer, firstPair, held, started, lastSeq, mailWaits } = answer;
    const seat = new LocalSeat(appId, side, token, storable(sid), accounts, listener, started);
    const before = room[side];
    if (before) this.act(before, { kind: "replaced", why: "same_sid" });
    room[side] = seat;
    seat.early = [];
    for (const to of room.early ?? []) {
      if (to.side === side && to.token === token) seat.early.push(to.event);
    }
    this.noLongerArriving(appId, room);
    if (peer) this.meet(seat, peer);
    // With other nodes the taker has its answer a few promises later.
    if (this.host.isAlone) this.open(seat);
    else this.host.after(0, () => this.open(seat));
    const isTwo = peer !== undefined;
    const taken = { seat, peer: isTwo, firstPair, held, started, lastSeq, mailWaits };
    const outcome = "taken";
    if (answer.crowds === 0) return { outcome, ...taken };
    return andThen(
      this.host.makeSpace(answer.crowds),
      () => ({ outcome, ...taken }),
      () => ({ outcome, ...taken }),
    );
  }

  private localRoom(appId: AppId): LocalRoom {
    let room = this.local.get(appId);
    if (room === undefined) {
      room = { A: undefined, B: undefined, arriving: 0, early: undefined };
      this.local.set(appId, room);
    }
    return room;
  }

  private noLongerArriving(appId: AppId, room: LocalRoom): void {
    room.arriving--;
    if (room.arriving > 0) return;
    room.early = undefined;
    this.forgetIfEmpty(appId, room);
  }

  private forgetIfEmpty(appId: AppId, room: LocalRoom): void {
    if (!room.A && !room.B && room.arriving === 0) this.local.delete(appId);
  }

  /** The taker knows that it has the seat. */
  private open(seat: LocalSeat): void {
    const { early } = seat;
    seat.early = undefined;
    seat.flows = seat.isHeld && seat.isStarted;
    for (const event of early ?? []) this.act(seat, event);
  }

  private end(seat: LocalSeat): void {
    const room = this.local.get(seat.appId);
    seat.isHeld = false;
    seat.flows = false;
    this.part(seat);
    if (room?.[seat.side] !== seat) return;
    room[seat.side] = undefined;
    this.forgetIfEmpty(seat.appId, room);
    this.noteEnd(seat);
  }

  private noteEnd(seat: LocalSeat): void {
    if (this.host.isAlone) return;
    this.ended.add(nameOf(seat));
    if (this.ended.size <= mostEnded) return;
    for (const oldest of this.ended) return void this.ended.delete(oldest);
  }

  /** Who is on the other side. */
  private meet(seat: LocalSeat, { token, node }: Occupant): void {
    this.part(seat);
    seat.peer = { token, node };
    seat.lastPeer = token;
    const here = this.local.get(seat.appId)?.[otherSide(seat.side)];
    if (here?.token !== token || node !== this.host.node) return;
    seat.peerHere = here;
    if (here.peer?.token === seat.token) here.peerHere = seat;
  }

  /** The other side is not there, or no longer this one's. */
  private part(seat: LocalSeat): void {
    if (seat.peerHere?.peerHere === seat) seat.peerHere.peerHere = undefined;
    seat.peerHere = undefined;
    seat.peer = undefined;
  }

  // ---- what a seat is told ----

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
        return this.peerJoined(seat, event);
      case "left":
        return this.peerLeft(seat, event.token);
      case "started":
        if (seat.isStarted) return;
        seat.isStarted = true;
        this.relayAll(seat, event.held ?? []);
        this.handOnWaiting(seat);
        seat.flows = seat.isHeld;
        return;
      case "frame":
        if (seat.waiting && !seat.isStarted) return void seat.waiting.push(event);
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
        return void this.recheck(seat).catch(() => {});
      default:
        event satisfies never;
    }
  }

  /** What is known already, or older than what is known, is no news. */
  private peerJoined(seat: LocalSeat, { token, node }: Occupant): void {
    if (token < seat.lastPeer || (seat.peer && token === seat.lastPeer)) return;
    if (seat.peer) seat.listener.peerLeft();
    this.meet(seat, { token, node });
    seat.listener.peerJoined();
  }

  private peerLeft(seat: LocalSeat, token: number): void {
    if (token < seat.lastPeer) return;
    seat.lastPeer = token;
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
    const { waiting } = seat;
    seat.waiting = undefined;
    for (const { type, text } of waiting ?? []) this.act(seat, { kind: "frame", type, text });
  }

  // ---- frames that do not go straight to the peer ----

  private publish(seat: LocalSeat, frame: Frame): MaybePromise<RelayOutcome> {
    const { peerHere } = seat;
    if (!seat.isHeld) return "replaced";
    if (peerHere?.isStarted && peerHere.early && seat.outgoing === undefined) {
      peerHere.early.push({ kind: "frame", ...frame });
      return "delivered";
    }
    if (!this.host.isAlone) return this.publishTogether(seat, frame);
    const [outcome] = this.askAs(seat, "publish", [frame]) as readonly RelayOutcome[];
    return outcome ?? "replaced";
  }

  /** With the others of this turn, or with those that wait for a call under way. */
  private publishTogether(seat: LocalSeat, frame: Frame): Promise<RelayOutcome> {
    return new Promise((resolve, reject) => {
      const outgoing = { ...frame, resolve, reject };
      if (seat.outgoing) return void seat.outgoing.push(outgoing);
      seat.outgoing = [outgoing];
      queueMicrotask(() => void this.publishOutgoing(seat));
    });
  }

  private async publishOutgoing(seat: LocalSeat): Promise<void> {
    for (let frames = seat.outgoing; frames?.length; frames = seat.outgoing) {
      seat.outgoing = [];
      const plain = frames.map(({ type, text }) => ({ type, text }));
      const whenFull = frames.map(() => "hold_full" as const);
      try {
        const answer = seat.isHeld ? this.askAs(seat, "publish", plain) : [];
        const outcomes = await this.orCutOff(seat, answer, whenFull);
        for (const [i, { resolve }] of frames.entries()) resolve(outcomes[i] ?? "replaced");
      } catch (error) {
        for (const { reject } of frames) reject(error);
      }
    }
    seat.outgoing = undefined;
  }

  // ---- who waits for a seat, and is asked about one ----

  private park(appId: AppId, side: Side, waiter: Waiter): MaybePromise<Parked> {
    const name = String(++this.names);
    const ref = { node: this.host.node, name };
    this.waiters.set(name, waiter);
    const parked = this.ask(appId, "park", side, ref);
    return andThen(
      parked,
      (times) => {
        if (times > 0) {
          const unpark = () => {
            if (!this.waiters.delete(name)) return;
            void andThen(
              this.ask(appId, "unpark", side, ref),
              () => {},
              () => {},
            );
          };
          return { times, unpark };
        }
        this.waiters.delete(name);
        this.host.after(0, () => waiter.vacant());
        return { times: 1, unpark() {} };
      },
      (error) => {
        this.waiters.delete(name);
        throw error;
      },
    );
  }

  private async probe(appId: AppId, side: Side, token: number): Promise<"alive" | "dead" | "gone"> {
    const here = this.local.get(appId)?.[side];
    if (here?.token === token) return (await here.listener.probed()) ? "alive" : "dead";
    if (this.host.isAlone) return "gone";
    const id = String(++this.names);
    const answered = this.questionOf(id);
    try {
      const asked = await this.ask(appId, "probe", { side, token }, id);
      if (asked === "gone") this.questions.get(id)?.("gone");
    } catch (error) {
      this.questions.get(id)?.("gone");
      throw error;
    }
    return answered;
  }

  /** The answer to a question that is about to be asked. No answer means dead. */
  private questionOf(id: string): Promise<"alive" | "dead" | "gone"> {
    return new Promise((resolve) => {
      const settle = (answer: ProbeAnswer) => {
        cancel();
        if (answer === "asking") {
          cancel = this.host.after(askingMs, () => settle("dead"));
          return;
        }
        this.questions.delete(id);
        resolve(answer);
      };
      let cancel = this.host.after(silentMs, () => settle("dead"));
      this.questions.set(id, settle);
    });
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

/** Hears for a seat that has no connection. */
const nobody: SeatListener = {
  relayed: () => true,
  peerJoined() {},
  peerLeft() {},
  peerCongested() {},
  peerDrained() {},
  mailStored() {},
  replaced() {},
  cutOff() {},
  probed: () => Promise.resolve(false),
};

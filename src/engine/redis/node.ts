import type { Account } from "../../base/account.ts";
import { type AppId, otherSide, type Side } from "../../base/ids.ts";
import {
  type Claimable,
  type EngineLimits,
  EngineUnreachable,
  type Newcomer,
  type NoSpace,
  ringTotalBytes,
  takeoverGuardMaxMs,
  takeoverGuardMs,
  type Waiter,
} from "../engine.ts";
import { type LocalSeat, LocalSeats } from "./local-seats.ts";
import { parseMessage, Questions, type SeatMessage, seatMessageText } from "./messages.ts";
import type { Agreement } from "./node-settings.ts";
import { type Keys, keysUnder, letterOf, roomScripts, type Script } from "./scripts/scripts.ts";
import { numberAt, type Reply, Store, StoreFull, type StoreOptions, textAt } from "./store.ts";

export interface RedisEngineOptions extends StoreOptions {
  /** No other node has this name. */
  readonly node: string;
  /** Before every key and channel. */
  readonly prefix: string;
  /** A seat is free this long after its node last renewed it. */
  readonly leaseMs: number;
  readonly limits: EngineLimits;
  readonly agreement?: Agreement;
  /** Called for everything that was accepted and then given up. */
  readonly dropped: (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;
}

type Args = readonly (string | number)[];

/** What a script is about: a side of a room, and for the owner of its seat the token. */
export interface RoomPlace {
  readonly appId: AppId;
  readonly side: Side;
  readonly token?: number;
}

const lost: Reply = ["lost"];
const full: Reply = ["full"];

/** One of the nodes on a Redis: the seats whose connections it has, and its dealings with the others. */
export class RedisNode {
  readonly keys: Keys;
  readonly store: Store;
  readonly seats = new LocalSeats();
  readonly waiters = new Map<string, Waiter>();
  readonly questions: Questions;
  private readonly roomArgs: readonly string[];

  constructor(
    readonly options: RedisEngineOptions,
    /** Acts on a message for a seat of this node, once the seat's taker knows that it has it. */
    readonly handle: (seat: LocalSeat, message: SeatMessage) => void,
    /** Redis is connected, or no longer. */
    connected: (up: boolean) => void,
  ) {
    const { node, prefix, clock, limits, leaseMs } = options;
    this.keys = keysUnder(prefix);
    this.questions = new Questions(node, clock);
    this.store = new Store(options, {
      name: this.keys.node(node),
      heard: (text) => this.heard(text),
      changed: connected,
    });
    const { roomTtlMs, relayHoldMs, mailTotalBytes } = limits;
    const times = [roomTtlMs, relayHoldMs, leaseMs].map(String);
    this.roomArgs = [...times, node, String(mailTotalBytes), String(ringTotalBytes(limits))];
  }

  /** Runs a script about one room, and counts what it gave up on the way. */
  async run(script: Script, { appId, side, token }: RoomPlace, args: Args = []): Promise<Reply> {
    const { keys, store, options } = this;
    const head = [appId, side, token === undefined ? "" : String(token), options.prefix];
    const all = [...head, ...this.roomArgs, ...args.map(String)];
    const [stale, expired, forgotten, ...rest] = await store.run(script, keys.room(appId), all);
    if (Number(stale) > 0) options.dropped("stale", Number(stale));
    if (Number(expired) > 0) options.dropped("hold_expired", Number(expired));
    if (Number(forgotten) > 0) options.dropped("room_forgotten", Number(forgotten));
    if (rest[0] === "store_full") throw store.full("OOM there is no space for a new room");
    return rest;
  }

  /** Asks for a seat; for one that is taken anew, with the last seq it has read. */
  runTake(
    { appId, side, sid, accounts }: Omit<Newcomer, "listener" | "startsRelay">,
    how: Claimable,
    begins: "never" | "unheld" | "always",
    lastRead = 0,
  ): Promise<Reply> {
    const claim = typeof how === "object" ? how.dead : how;
    const { maxRooms, holdMaxFrames, holdMaxBytes } = this.options.limits;
    const who = [sid, accountWords(accounts), claim, maxRooms, takeoverGuardMs, takeoverGuardMaxMs];
    const args = [...who, lastRead, begins, holdMaxFrames, holdMaxBytes];
    return this.run(roomScripts.take, { appId, side }, args);
  }

  /**
   * Runs a script for the owner of a seat. A seat that is gone, with its room, is taken anew first;
   * `lost` comes back when it is another's, and its listener has heard that by then.
   */
  async runAsOwner(seat: LocalSeat, script: Script, args?: Args): Promise<Reply> {
    for (let tries = 0; tries < 2; tries++) {
      if (!seat.isHeld) return lost;
      const { token } = seat;
      const reply = await this.run(script, seat, args);
      if (reply[0] === "gone") {
        if (token === seat.token) await this.heal(seat);
        continue;
      }
      if (reply[0] === "lost" && token === seat.token) this.replaced(seat, "same_sid");
      return reply;
    }
    return lost;
  }

  /**
   * As `runAsOwner`, for what may not be left undone: the seat is given up when no answer comes. A
   * Redis with no space for it answers `full`.
   */
  async runAsOwnerOrDrop(seat: LocalSeat, script: Script, args?: Args): Promise<Reply> {
    try {
      return await this.runAsOwner(seat, script, args);
    } catch (error) {
      if (error instanceof StoreFull) return full;
      if (error instanceof EngineUnreachable) this.cutOff(seat);
      throw error;
    }
  }

  replaced(seat: LocalSeat, why: "same_sid" | "dead"): void {
    if (this.end(seat)) seat.listener.replaced(why);
  }

  /** Gives a seat up: its connection had better go to another node. */
  cutOff(seat: LocalSeat): void {
    if (!this.end(seat)) return;
    seat.listener.cutOff();
    this.run(roomScripts.leave, seat).catch(() => {});
  }

  /** The other side, if its connection is here as well: frames between the two need no Redis. */
  peerHere({ appId, side }: LocalSeat): LocalSeat | undefined {
    return this.seats.latest(appId, otherSide(side));
  }

  /** Publishes to another node. What gets lost is found out by the next renewal of a lease. */
  async tell(node: string, text: string): Promise<void> {
    await this.store.publish(this.keys.node(node), text).catch(() => {});
  }

  private heard(text: string): void {
    const message = parseMessage(text);
    switch (message?.to) {
      case "seat": {
        const seat = this.seats.find(message.seat);
        if (seat) seat.deliver(message.message, (due) => this.handle(seat, due));
        else if (!this.seats.keepEarly(message.seat, message.message)) this.disown(message.message);
        return;
      }
      case "waiter": {
        const waiter = this.waiters.get(message.waiter);
        return message.kind === "vacant" ? waiter?.vacant() : waiter?.displaced();
      }
      case "asker":
        return this.questions.answered(message.question, message.answer);
      case undefined:
        return;
      default:
        return message satisfies never;
    }
  }

  /** A message for a seat that this node does not have: its connection is dead. */
  private disown(message: SeatMessage): void {
    if (message.kind === "probe") void this.tell(message.node, `answer ${message.question} dead`);
  }

  private end(seat: LocalSeat): boolean {
    if (!seat.isHeld) return false;
    seat.isHeld = false;
    this.seats.remove(seat);
    return true;
  }

  /** Takes a vanished seat anew: a room that Redis has forgotten comes into being again. */
  private async heal(seat: LocalSeat): Promise<void> {
    seat.healing ??= this.retake(seat).finally(() => {
      seat.healing = undefined;
    });
    return seat.healing;
  }

  private async retake(seat: LocalSeat): Promise<void> {
    const { clock, leaseMs } = this.options;
    const askedAt = clock.monotonicMs();
    const { appId, side, peer } = seat;
    const reply = await this.runTake(
      seat,
      "free",
      seat.hasBegun ? "always" : "never",
      seat.lastRead,
    );
    if (isNoSpace(reply[0])) return this.cutOff(seat);
    if (reply[0] !== "taken") return this.replaced(seat, "same_sid");
    const token = numberAt(reply, 1);
    if (!seat.isHeld) {
      // It was left meanwhile.
      await this.run(roomScripts.leave, { appId, side, token });
      return;
    }
    this.seats.remove(seat);
    seat.token = token;
    this.seats.add(seat);
    seat.leasedUntil = askedAt + leaseMs;
    // Messages to the new token that came before this answer were not delivered: renew at once.
    seat.renewAt = askedAt;
    if (seat.hasBegun) seat.next = numberAt(reply, 9) + 1;
    seat.lastSent = 0;
    const peerToken = numberAt(reply, 7);
    seat.peer = peerToken === 0 ? undefined : { token: peerToken, node: textAt(reply, 8) };
    if (seat.peer) seat.listener.peerJoined();
    else if (peer) {
      const to = { appId, side: otherSide(side), token: peer.token };
      void this.tell(peer.node, seatMessageText("vanished", to));
    }
    seat.listener.mailStored();
  }
}

/** Accounts as the scripts know them. Their keys are addresses and networks: they hold no spaces. */
export function accountWords(accounts: readonly Account[]): string {
  return accounts.map(({ key, kind }) => letterOf(kind) + key).join(" ");
}

export function isNoSpace(outcome: unknown): outcome is NoSpace["outcome"] {
  return outcome === "full" || outcome === "share_full";
}

import type { Client } from "../admission/clients.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { RelayOutcome, Seat, SeatListener, Taken } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import {
  type FrameType,
  knownTypes,
  parseObject,
  peerLeft,
  type RelayType,
  roomFull,
  serverFrame,
  typeOf,
} from "../protocol/frames.ts";
import { Arrival, type NoSeat } from "./arrival.ts";
import {
  type Connection,
  type Entered,
  type PeerIdentity,
  pauseReasons,
  type SignalingContext,
} from "./context.ts";
import { largeFrameLength } from "./fair-queue.ts";
import { type Handled, Inbox, outcomeOf } from "./inbox.ts";
import { Prober } from "./prober.ts";
import { Pump } from "./pump.ts";
import { Returning } from "./returning.ts";
import { Roomless } from "./roomless.ts";
import * as frames from "./seat-frames.ts";
import {
  drop,
  type Fields,
  type FrameOutcome,
  tell,
  tellFault,
  tooMuchHeld,
} from "./seat-frames.ts";
import { Welcome } from "./welcome.ts";

const notAFrame = "A frame must be one JSON object with a type, in UTF-8.";

/**
 * A connection and what it may do. It is in one of these states:
 *
 *     without a room --mint, redeem, join--> arriving   (the start, if the URL names no room)
 *     arriving       --no seat-->            without a room; an upgrade is refused
 *     arriving       --seated-->             seated
 *     any            --closed, refused, replaced--> gone
 */
export class Peer implements SeatListener {
  private roomless: Roomless | undefined;
  private arrival: Arrival | undefined;
  private seat: Seat | undefined;
  private welcome: Welcome | undefined;
  private openPump: Pump | undefined;
  /** Set while held frames wait to see whether this peer was restarted. */
  private returning: Returning | undefined;
  private prober: Prober | undefined;
  /** Created with the first frame: most sockets are idle. */
  private inbox: Inbox | undefined;
  /** Without a hello, only mail after this seq is delivered. Undefined: no mail before a hello. */
  private deliversWithoutHelloAfter: number | undefined;
  private sentLargeFrame = false;

  constructor(
    readonly connection: Connection,
    readonly context: SignalingContext,
    readonly client: Client,
  ) {
    if (connection.identity) this.arrival = this.newArrival(connection.identity);
    else this.roomless = new Roomless(this);
  }

  private newArrival({ appId, side, sid }: PeerIdentity): Arrival {
    const { accounts } = this.client;
    const newcomer = { appId, side, sid, accounts, listener: this };
    return new Arrival(newcomer, this.context, this);
  }

  // ---- called by the socket ----

  /** Asks for the seat. Returns why it gets no seat; undefined when it is seated or parked. */
  take(): MaybePromise<NoSeat | undefined> {
    return this.arrival?.take();
  }

  /** A complete frame came. */
  received(text: string): void {
    this.arrival?.spoke();
    if (this.isGone) return;
    this.prober?.showsLife();
    if (text.length > largeFrameLength) this.sentLargeFrame = true;
    this.inbox ??= this.newInbox();
    const refusal = this.inbox.push(text);
    if (refusal !== undefined) this.refuse(refusal);
  }

  /** The frame under way costs as much as this many more frames. */
  charge(frames: number): void {
    this.inbox?.charge(frames);
  }

  pong(data: string): void {
    this.prober?.pong(data);
  }

  /** The client has read some of its queued bytes. */
  progressed(): void {
    this.prober?.showsLife();
  }

  /** The socket is writable again. `congested`: it was congested before. */
  drained(congested: boolean): void {
    if (congested && this.seat) this.context.engine.relay.drained(this.seat);
    this.openPump?.pull();
  }

  closed(): void {
    if (!this.isGone) this.leave();
  }

  /** The server is about to stop. Clients of `nt.v2` get `draining` before their socket closes. */
  draining(retryAfterMs: number): void {
    if (this.seat || this.roomless) tell(this, () => serverFrame("draining", { retryAfterMs }));
  }

  private get isGone(): boolean {
    const { roomless, arrival, seat } = this;
    return roomless === undefined && arrival === undefined && seat === undefined;
  }

  private newInbox(): Inbox {
    const inbox = new Inbox(this.connection, this.context, this, this.client.accounts);
    if (this.arrival?.isParked) inbox.park();
    else if (this.arrival) inbox.hold();
    return inbox;
  }

  // ---- called by the arrival ----

  parked(): void {
    this.logArrival();
    this.inbox?.park();
  }

  private logArrival(): void {
    const { connection, client, context } = this;
    const { id, identity } = connection;
    if (identity) context.connectionLog?.joined(id, identity, client.address);
  }

  seated(taken: Taken): void {
    if (!this.arrival?.isParked) this.logArrival();
    this.arrival = undefined;
    this.seat = taken.seat;
    this.connection.joinTopic();
    const { identity } = this.connection;
    if (taken.peer && identity) this.context.connectionLog?.paired(this.connection.id, identity);
    if (identity?.v2) {
      this.welcome = new Welcome(this.connection, identity, this.context, this.client);
      this.welcome.send(taken.peer);
    }
    if (taken.peer) this.peerJoined();
    if (taken.mailWaits) this.pump?.mailStored();
    else if (!identity?.mailboxClient) this.deliversWithoutHelloAfter = taken.lastSeq;
    if (taken.held > 0) {
      const { clock, engine } = this.context;
      this.returning = new Returning(clock, (discard) => engine.relay.start(taken.seat, discard));
      if (taken.peer) this.returning.peerThere();
    }
    this.inbox?.release();
  }

  /** Sends this side's mail; undefined without a seat. Created at its first use. */
  get pump(): Pump | undefined {
    const { seat, connection } = this;
    if (this.openPump || seat === undefined) return this.openPump;
    const { engine, tally } = this.context;
    const frameType = connection.identity?.mailboxClient ? "deliver" : "send";
    this.openPump = new Pump(engine.mailboxes, seat, connection, frameType, tally);
    if (this.deliversWithoutHelloAfter !== undefined)
      this.openPump.openAfter(this.deliversWithoutHelloAfter);
    return this.openPump;
  }

  // ---- called by the engine ----

  relayed(frame: string, type: RelayType): boolean {
    this.context.tally.bytesOut[type] += this.connection.relay(frame);
    return !this.connection.congested;
  }

  peerJoined(): void {
    this.connection.send(roomFull);
    this.welcome?.peerJoined();
    this.returning?.peerThere();
  }

  peerLeft(): void {
    this.peerDrained();
    tell(this, () => peerLeft);
  }

  peerCongested(): void {
    this.connection.pause(pauseReasons.slowPeer);
  }

  peerDrained(): void {
    this.connection.resume(pauseReasons.slowPeer);
  }

  mailStored(): void {
    this.pump?.mailStored();
  }

  replaced(why: "same_sid" | "dead"): void {
    this.context.tally.takeovers[why]++;
    this.end();
    if (why === "dead") this.connection.terminate("dead");
    else this.connection.close("replaced");
  }

  cutOff(): void {
    this.refuse("unreachable");
  }

  probed(): Promise<boolean> {
    // Waiting frames prove that it is alive. The server does not read from it, so no other sign would come.
    if (this.inbox?.nextLength !== undefined) return Promise.resolve(true);
    this.prober ??= new Prober(this.connection, this.context.clock);
    const { identity } = this.connection;
    return this.prober.ask(identity?.mailboxClient || this.sentLargeFrame);
  }

  // ---- handling frames ----

  /** Handles the next frame. Returns a promise only if it has to wait for the engine. */
  handle(text: string): Handled<FrameOutcome> {
    const { seat } = this;
    if (seat === undefined && this.roomless === undefined) return "replaced";
    const { tally, connectionLog } = this.context;
    const bytes = Buffer.byteLength(text);
    const frame = parseObject(text);
    const type = frame === undefined ? "other" : typeOf(frame);
    tally.framesIn[type]++;
    tally.bytesIn[type] += bytes;
    tally.frameSizeIn.observe(bytes);
    const outcome =
      frame === undefined
        ? drop(this, "malformed", "bad_json", notAFrame)
        : seat === undefined
          ? (this.roomless?.use(type, frame) ?? "replaced")
          : this.use(seat, type, frame, text);
    if (connectionLog?.logsFrames) this.logFrame(type, bytes, outcomeOf(outcome));
    return outcome;
  }

  private logFrame(type: FrameType, bytes: number, outcome: MaybePromise<FrameOutcome>): void {
    const { connection } = this;
    const { connectionLog } = this.context;
    const logged = (what: FrameOutcome) =>
      connectionLog?.frame(connection.id, connection.identity, type, bytes, what);
    void andThen(outcome, logged, () => logged("unreachable"));
  }

  // ---- without a room ----

  enter({ identity, frame }: Entered): MaybePromise<FrameOutcome> {
    this.endRoomless();
    this.connection.enters(identity);
    if (frame !== undefined) this.connection.send(frame);
    this.inbox?.hold();
    const arrival = this.newArrival(identity);
    this.arrival = arrival;
    return andThen(arrival.take(), (noSeat) => {
      if (noSeat !== undefined) return this.findsNoSeat(noSeat);
      arrival.spoke();
      return "handled";
    });
  }

  private findsNoSeat(noSeat: NoSeat): FrameOutcome {
    if (this.arrival === undefined) return "replaced";
    this.arrival.stop();
    this.arrival = undefined;
    this.connection.enters(undefined);
    const roomless = new Roomless(this);
    this.roomless = roomless;
    this.inbox?.release();
    return roomless.findsNoSeat(noSeat);
  }

  private endRoomless(): void {
    this.roomless?.end();
    this.roomless = undefined;
  }

  // ---- with a seat ----

  private use(seat: Seat, type: FrameType, frame: Fields, text: string): Handled<FrameOutcome> {
    switch (type) {
      case "hello":
        return frames.hello(this, frame);
      case "send":
        return frames.send(this, seat, frame, text);
      case "delivered":
        return frames.delivered(this, seat, frame);
      case "telemetry":
        return frames.telemetry(this, seat, frame);
      case "ping":
        return frames.ping(this);
      case "mint":
      case "redeem":
      case "join":
        tellFault(this, "has_room", "This socket has a room already: open another one.");
        return "ignored";
      case "other":
        tellFault(this, "unknown_type", knownTypes, frames.idOf(frame));
        return "ignored";
      default:
        return this.relay(seat, type, text);
    }
  }

  private relay(seat: Seat, type: RelayType, text: string): Handled<FrameOutcome> {
    const started = this.returning?.relays(type === "offer");
    if (started instanceof Promise) {
      return started.then(() => outcomeOf(this.relay(seat, type, text)));
    }
    const outcome = this.context.engine.relay.publish(seat, text, type);
    if (!(outcome instanceof Promise)) return this.published(type, outcome);
    return { mayOverlap: outcome.then((late) => this.published(type, late)) };
  }

  private published(type: RelayType, outcome: RelayOutcome): FrameOutcome {
    switch (outcome) {
      case "delivered":
      case "held":
        return outcome;
      case "congested":
        this.peerCongested();
        return outcome;
      case "no_peer":
      case "hold_full": {
        const detail = `The other side is not there: the ${type} was dropped.`;
        return drop(this, outcome, "peer_absent", detail);
      }
      case "hold_share":
        return drop(this, outcome, "hold_share", `${tooMuchHeld} The ${type} was dropped.`);
      case "replaced":
        this.context.tally.drops.replaced++;
        return outcome;
      default:
        return outcome satisfies never;
    }
  }

  // ---- the end ----

  /** Gives up the seat or the wait for it, and closes the connection. */
  refuse(reason: ServerClose): void {
    this.leave();
    this.connection.close(reason);
  }

  private leave(): void {
    const { seat } = this;
    this.end();
    if (seat) void this.context.engine.seats.leave(seat);
  }

  private end(): void {
    this.endRoomless();
    this.arrival?.stop();
    this.arrival = undefined;
    this.seat = undefined;
    this.openPump = undefined;
    this.returning?.stop();
    this.returning = undefined;
    this.prober?.closed();
    this.context.tally.drops.parked += this.inbox?.discard() ?? 0;
    this.connection.leaveTopic();
  }
}

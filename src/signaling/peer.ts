import type { z } from "zod";
import type { Client } from "../admission/clients.ts";
import type { Cancel } from "../base/clock.ts";
import { keptPart } from "../base/kept-part.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { IceServer } from "../config/ice-formats.ts";
import type { Appended, RelayOutcome, Seat, SeatListener, Taken } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import {
  clientFrames,
  type FrameFault,
  type FrameType,
  faultsIn,
  isRoomRequest,
  knownTypes,
  maxMailIdLength,
  parseObject,
  peerJoined,
  peerLeft,
  pong,
  type RelayType,
  roomFull,
  serverFrame,
  typeOf,
} from "../protocol/frames.ts";
import { type DropReason, iceFailures, iceModes } from "../telemetry/tally.ts";
import { Arrival, type NoSeat } from "./arrival.ts";
import {
  type Connection,
  type Entered,
  type PeerIdentity,
  pauseReasons,
  type RefusedRoom,
  type SignalingContext,
} from "./context.ts";
import { largeFrameLength } from "./fair-queue.ts";
import { Inbox } from "./inbox.ts";
import { Prober } from "./prober.ts";
import { Pump, sayHello } from "./pump.ts";
import { rawMember } from "./raw-member.ts";
import { Returning } from "./returning.ts";

type Fields = Record<string, unknown>;

/** What became of a frame. */
type FrameOutcome =
  | RelayOutcome
  | DropReason
  | "stored"
  | "handled"
  | "ignored"
  /** The engine did not answer. */
  | "unreachable";

/** What a request for a room that is refused costs, as so many frames. */
const refusedRoomTokens = 20;

const tooMuchHeld =
  "What this address has sent and nobody has fetched is as much as one address may have waiting.";

/**
 * A connection and what it may do: it asks for a room where its URL named none, has an arrival, then a
 * seat, and nothing of that once it is gone.
 */
export class Peer implements SeatListener {
  /** Ends the time without a room; undefined when there is a room, or the connection is gone. */
  private roomless: Cancel | undefined;
  private arrival: Arrival | undefined;
  private seat: Seat | undefined;
  private openPump: Pump | undefined;
  /** Set while held frames wait to see whether this peer was restarted. */
  private returning: Returning | undefined;
  private prober: Prober | undefined;
  /** Made with the first frame: most sockets are idle most of the time, and there are many. */
  private inbox: Inbox | undefined;
  /** Mail after this seq may be sent without a hello; undefined: none may. */
  private mailAfter: number | undefined;
  private sentLargeFrame = false;
  /** It was given servers with a credential, or there are none. */
  private hasTurn = false;

  constructor(
    private readonly connection: Connection,
    private readonly context: SignalingContext,
    private readonly client: Client,
  ) {
    if (connection.identity) this.arrival = this.newArrival(connection.identity);
    else this.beginRoomless();
  }

  private beginRoomless(): void {
    const { clock, tally, roomTtlMs } = this.context;
    tally.roomlessSockets++;
    this.roomless = clock.after(roomTtlMs, () => this.refuse("no_room"));
  }

  private newArrival({ appId, side, sid }: PeerIdentity): Arrival {
    const { accounts } = this.client;
    const newcomer = { appId, side, sid, accounts, startsRelay: true, listener: this };
    return new Arrival(newcomer, this.context, this);
  }

  // ---- what the socket says ----

  /** Asks for the seat. Answers why there is none; undefined when it is seated or parked. */
  take(): MaybePromise<NoSeat | undefined> {
    return this.arrival?.take();
  }

  /** A complete frame, in the order in which they came. */
  received(text: string): void {
    this.arrival?.spoke();
    if (this.isGone) return;
    this.prober?.showsLife();
    if (text.length > largeFrameLength) this.sentLargeFrame = true;
    this.inbox ??= this.newInbox();
    const refusal = this.inbox.push(text);
    if (refusal !== undefined) this.refuse(refusal);
  }

  pong(data: string): void {
    this.prober?.pong(data);
  }

  /** The client's network takes some of what was queued for it. */
  progressed(): void {
    this.prober?.showsLife();
  }

  /** The socket has taken what was queued, or part of it. */
  drained(congested: boolean): void {
    if (congested && this.seat) this.context.engine.relay.drained(this.seat);
    this.openPump?.pull();
  }

  closed(): void {
    const { seat } = this;
    if (this.isGone) return;
    this.end();
    if (seat) void this.context.engine.seats.leave(seat);
  }

  /** The server is going. Clients of `nt.v2` learn it before their socket closes. */
  draining(retryAfterMs: number): void {
    if (this.seat || this.roomless) this.tell(() => serverFrame("draining", { retryAfterMs }));
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

  // ---- what becomes of the arrival ----

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
    this.sendWelcome(taken.peer);
    if (taken.peer) this.peerJoined();
    if (taken.mailWaits) this.pump?.mailStored();
    else if (!identity?.mailboxClient) this.mailAfter = taken.lastSeq;
    if (taken.held > 0) {
      const { clock, engine } = this.context;
      this.returning = new Returning(clock, (discard) => engine.relay.start(taken.seat, discard));
      if (taken.peer) this.returning.peerThere();
    }
    this.inbox?.release();
  }

  private sendWelcome(peer: boolean): void {
    const { identity } = this.connection;
    if (identity?.v2)
      this.sendWithIce(identity, (servers) => this.welcome(identity, peer, servers));
  }

  /** What is sent after it waits for it, as it may have to wait for its ICE servers. */
  private sendWithIce(
    { appId, side }: PeerIdentity,
    frame: (iceServers: readonly IceServer[] | undefined) => string,
  ): void {
    const iceServers = this.context.iceServers?.(appId, side, this.client);
    const text = andThen(iceServers, (servers) => {
      this.hasTurn = servers?.some(({ credential }) => credential !== undefined) ?? true;
      return frame(servers);
    });
    if (text instanceof Promise) this.connection.sendLater(text);
    else this.connection.send(text);
  }

  private welcome(
    { appId, side }: PeerIdentity,
    peer: boolean,
    iceServers: readonly IceServer[] | undefined,
  ): string {
    const { connectionLog, heartbeatMs, wsMaxMsgBytes } = this.context;
    return serverFrame("welcome", {
      side,
      peer,
      heartbeatMs,
      maxMessageBytes: wsMaxMsgBytes,
      room: connectionLog?.roomTag(appId),
      ...(iceServers?.length && { iceServers }),
    });
  }

  /** Brings this side's mail; undefined without a seat. Made when there is first use for it. */
  private get pump(): Pump | undefined {
    const { seat, connection } = this;
    if (this.openPump || seat === undefined) return this.openPump;
    const { engine, tally } = this.context;
    const frameType = connection.identity?.mailboxClient ? "deliver" : "send";
    this.openPump = new Pump(engine.mailboxes, seat, connection, frameType, tally);
    if (this.mailAfter !== undefined) this.openPump.openAfter(this.mailAfter);
    return this.openPump;
  }

  // ---- what the engine says ----

  relayed(frame: string, type: RelayType): boolean {
    this.context.tally.bytesOut[type] += this.connection.relay(frame);
    return !this.connection.congested;
  }

  peerJoined(): void {
    const { connection, context } = this;
    connection.send(roomFull);
    // Who was welcomed before the code was redeemed was given no TURN.
    if (!connection.identity?.v2 || this.hasTurn || !context.iceServers)
      this.tell(() => peerJoined);
    else {
      this.sendWithIce(connection.identity, (iceServers) =>
        this.hasTurn ? serverFrame("peer_joined", { iceServers }) : peerJoined,
      );
    }
    this.returning?.peerThere();
  }

  peerLeft(): void {
    this.peerDrained();
    this.tell(() => peerLeft);
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
    // While its frames wait here it is not read from, and could show no other sign of life.
    if (this.inbox?.nextLength !== undefined) return Promise.resolve(true);
    this.prober ??= new Prober(this.connection, this.context.clock);
    const { identity } = this.connection;
    return this.prober.ask(identity?.mailboxClient || this.sentLargeFrame);
  }

  // ---- its frames ----

  /** A frame whose turn has come. Answers a promise only where the engine has to be awaited. */
  handle(text: string): MaybePromise<FrameOutcome> {
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
        ? this.drop(
            "malformed",
            "bad_json",
            "A frame must be one JSON object with a type, in UTF-8.",
          )
        : seat === undefined
          ? this.useWithoutRoom(type, frame)
          : this.use(seat, type, frame, text);
    if (connectionLog?.logsFrames) this.logFrame(type, bytes, outcome);
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

  private useWithoutRoom(type: FrameType, frame: Fields): MaybePromise<FrameOutcome> {
    if (!isRoomRequest(type)) {
      this.tellFault("no_room", "This socket has no room yet: mint, redeem or join first.");
      return "ignored";
    }
    return andThen(
      this.context.askForRoom(type, frame, this.client),
      (answer) => ("identity" in answer ? this.enter(answer) : this.refuseRoom(answer)),
      () => this.refuseRoom(this.context.describeNoSeat("unreachable", this.client)),
    );
  }

  private enter({ identity, frame }: Entered): MaybePromise<FrameOutcome> {
    if (this.roomless === undefined) return "replaced";
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

  /** It may ask again, for this room or another one. */
  private findsNoSeat(noSeat: NoSeat): FrameOutcome {
    if (this.arrival === undefined) return "replaced";
    this.arrival.stop();
    this.arrival = undefined;
    this.connection.enters(undefined);
    this.beginRoomless();
    this.inbox?.release();
    return this.refuseRoom(this.context.describeNoSeat(noSeat, this.client));
  }

  private refuseRoom({ code, detail, retryAfterMs }: RefusedRoom): FrameOutcome {
    this.inbox?.charge(refusedRoomTokens);
    this.tell(() => serverFrame("error", { code, detail, retryAfterMs }));
    return "ignored";
  }

  private endRoomless(): void {
    if (this.roomless === undefined) return;
    this.roomless();
    this.roomless = undefined;
    this.context.tally.roomlessSockets--;
  }

  // ---- with a seat ----

  private use(
    seat: Seat,
    type: FrameType,
    frame: Fields,
    text: string,
  ): MaybePromise<FrameOutcome> {
    switch (type) {
      case "hello":
        return this.hello(seat, frame);
      case "send":
        return this.send(seat, frame, text);
      case "delivered":
        return this.delivered(seat, frame);
      case "telemetry":
        return this.telemetry(seat, frame);
      case "ping":
        return this.ping();
      case "mint":
      case "redeem":
      case "join":
        this.tellFault("has_room", "This socket has a room already: open another one.");
        return "ignored";
      case "other":
        this.tellFault("unknown_type", knownTypes, idOf(frame));
        return "ignored";
      default:
        return this.relay(seat, type, text);
    }
  }

  private relay(seat: Seat, type: RelayType, text: string): MaybePromise<FrameOutcome> {
    const started = this.returning?.relays(type === "offer");
    if (started instanceof Promise) return started.then(() => this.relay(seat, type, text));
    const outcome = this.context.engine.relay.publish(seat, text, type);
    if (!(outcome instanceof Promise)) return this.published(type, outcome);
    const done = outcome.then((late) => this.published(type, late));
    this.inbox?.goesOn(done, text);
    return done;
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
        return this.drop(outcome, "peer_absent", detail);
      }
      case "hold_share":
        return this.drop(outcome, "hold_share", `${tooMuchHeld} The ${type} was dropped.`);
      case "replaced":
        this.context.tally.drops.replaced++;
        return outcome;
      default:
        return outcome satisfies never;
    }
  }

  private hello(seat: Seat, frame: Fields): MaybePromise<FrameOutcome> {
    const fields = this.read("hello", clientFrames.hello.schema, frame);
    if (this.pump === undefined) return "replaced";
    const said = sayHello(this.context.engine.mailboxes, seat, this.pump, fields?.deliveredUpTo);
    return once(said, fields === undefined ? "bad_field" : "handled");
  }

  private send(seat: Seat, frame: Fields, text: string): MaybePromise<FrameOutcome> {
    const { schema } = clientFrames.send;
    const { isV2: v2 } = this;
    const known = v2 ? frame : { to: frame["to"], payload: frame["payload"] };
    const fields = this.read("send", schema, known, idOf(frame));
    const payload = fields && rawMember(text, "payload");
    if (fields === undefined || payload === undefined) return "bad_field";
    const { to, id } = fields;
    const mail = { payload: keptPart(payload, text), id, strict: !v2 };
    return andThen(this.context.engine.mailboxes.append(seat, to, mail), (result) =>
      this.appended(result, id),
    );
  }

  private appended(result: Appended, id: string | undefined): FrameOutcome {
    switch (result.outcome) {
      case "stored":
        if (id !== undefined) this.connection.send(serverFrame("stored", { id, seq: result.seq }));
        return "stored";
      case "full":
        this.drop("mailbox_full", "mailbox_full", "The mailbox is full: send again later.", id);
        return this.sendAwayV1("mailbox_full");
      case "share_full":
        this.drop("mail_share", "mail_share", `${tooMuchHeld} Send again later.`, id);
        return this.sendAwayV1("mail_share");
      case "replaced":
        this.context.tally.drops.replaced++;
        return "replaced";
      default:
        return result satisfies never;
    }
  }

  /** A client that cannot be told otherwise learns by the close that its mail was not stored. */
  private sendAwayV1<W extends "mailbox_full" | "mail_share">(why: W): W {
    if (!this.isV2) this.refuse(why);
    return why;
  }

  private delivered(seat: Seat, frame: Fields): MaybePromise<FrameOutcome> {
    const fields = this.read("delivered", clientFrames.delivered.schema, frame);
    if (fields === undefined) return "bad_field";
    const upTo = Math.min(fields.upTo ?? fields.seq ?? 0, this.pump?.sentUpTo ?? 0);
    return once(this.context.engine.mailboxes.ack(seat, upTo), "handled");
  }

  private ping(): FrameOutcome {
    if (!this.isV2) return "ignored";
    this.connection.send(pong);
    return "handled";
  }

  /** Counts what a client says about its peer connection; its words never become labels. */
  private telemetry(seat: Seat, frame: Fields): MaybePromise<FrameOutcome> {
    const fields = this.read("telemetry", clientFrames.telemetry.schema, frame);
    const { engine, tally } = this.context;
    if (fields === undefined) return "bad_field";
    if (fields.event === "ice-failed") {
      tally.failed[labelOf(fields.reason, iceFailures, "ice-failed")]++;
    }
    if (fields.event !== "ice-connected") return "handled";
    return andThen(engine.rooms.establish(seat), (ageMs) => {
      if (ageMs === undefined) return "handled";
      tally.established[labelOf(fields.mode, iceModes, "unspecified")]++;
      tally.firstFlowSeconds.observe(ageMs / 1000);
      return "handled";
    });
  }

  /** The fields of a frame; undefined, and dropped, when there is a fault in them. */
  private read<S extends z.ZodObject>(
    type: string,
    schema: S,
    frame: Fields,
    id?: string,
  ): z.output<S> | undefined {
    const parsed = schema.safeParse(frame);
    if (parsed.success) return parsed.data;
    this.drop("bad_field", "bad_field", faultsIn(type, parsed.error), id);
    return undefined;
  }

  /** Counts a frame that goes no further, and says so to a client that can be told. */
  private drop<R extends DropReason>(reason: R, code: FrameFault, detail: string, id?: string): R {
    this.context.tally.drops[reason]++;
    this.tellFault(code, detail, id);
    return reason;
  }

  private tellFault(code: FrameFault, detail: string, id?: string): void {
    const { id: connection, identity } = this.connection;
    this.context.connectionLog?.frameRefused(connection, identity, code, detail);
    this.tell(() => serverFrame("error", { code, detail, id }));
  }

  /** Sends what only clients of `nt.v2` get. */
  private tell(frame: () => string): void {
    if (this.isV2) this.connection.send(frame());
  }

  /** Only clients of `nt.v2` come without a room. */
  private get isV2(): boolean {
    return this.connection.identity?.v2 ?? true;
  }

  // ---- ends ----

  /** Gives up the seat, or the wish for one, and closes the connection. */
  refuse(reason: ServerClose): void {
    const { seat } = this;
    this.end();
    if (seat) void this.context.engine.seats.leave(seat);
    this.connection.close(reason);
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

/** The outcome, when all that it stands for is done. */
function once(done: MaybePromise<void>, outcome: FrameOutcome): MaybePromise<FrameOutcome> {
  return done instanceof Promise ? done.then(() => outcome) : outcome;
}

/** The id of a frame whose other fields are wrong, if it is one that may be sent back. */
function idOf({ id }: Fields): string | undefined {
  return typeof id === "string" && id.length <= maxMailIdLength ? id : undefined;
}

/** The label that a client's word stands for: one of a closed set. */
function labelOf<L extends string>(
  word: string | undefined,
  labels: readonly L[],
  unsaid: L,
): L | "other" {
  const name = word?.trim().toLowerCase() ?? "";
  return name === "" ? unsaid : (labels.find((label) => label === name) ?? "other");
}

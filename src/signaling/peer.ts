import type { Client } from "../admission/clients.ts";
import type { Account } from "../base/account.ts";
import type { AppId, Side } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { IceServer } from "../config/ice-formats.ts";
import type { NoSpace, RelayType, Seat, SeatListener, Taken } from "../engine/engine.ts";
import { type Connection, closeCodes, pauseReasons } from "./connection.ts";
import type { SignalingContext } from "./context.ts";
import { handleFrame } from "./frames.ts";
import { type FrameHandler, Inbox } from "./inbox.ts";
import { Parking } from "./parking.ts";
import { largeFrame, Prober } from "./prober.ts";
import { drainingFrame, peerJoined, peerLeft, roomFull, welcomeFrame } from "./protocol.ts";
import { Pump } from "./pump.ts";
import { Returning } from "./returning.ts";

/** Who connects: what the upgrade request said, checked. */
export interface PeerIdentity {
  readonly appId: AppId;
  readonly side: Side;
  /** Empty when the client has none. */
  readonly sid: string;
  /** The URL had a `sid`, be it empty: mail is called `deliver`. Otherwise a plain client. */
  readonly mailboxClient: boolean;
  /** The client offered `nt.v2`. */
  readonly v2: boolean;
}

const noAccounts: readonly Account[] = [];

/** What the server closes a peer for, and the code that tells it whether to come back. */
const refusalCodes = {
  busy: closeCodes.policy,
  displaced: closeCodes.policy,
  parked_overflow: closeCodes.policy,
  client_buffers_full: closeCodes.tryAgainLater,
  buffers_full: closeCodes.tryAgainLater,
  mailbox_full: closeCodes.tryAgainLater,
  mail_share: closeCodes.tryAgainLater,
  rooms_full: closeCodes.tryAgainLater,
  rooms_share: closeCodes.tryAgainLater,
  unreachable: closeCodes.tryAgainLater,
} as const;

const tooManyWait = "too many frames while waiting";

/**
 * A connection and what it may do.
 *
 *     new --first frame, opened--> joining
 *     joining --taken--> seated      joining --busy--> parked --seat free--> seated
 *     any --closed, replaced, refused--> gone
 *
 * While it is new it has no seat, and neither it nor the other side is told anything.
 */
export class Peer implements SeatListener, FrameHandler {
  state: "new" | "joining" | "parked" | "seated" | "gone" = "new";
  seat: Seat | undefined;
  private openPump: Pump | undefined;
  private joinsAt = 0;
  /** Whether the other side is there, while this one has its seat but no welcome yet. */
  private peerThere: boolean | undefined;
  /** Set while held frames wait to see whether this peer was restarted. */
  returning: Returning | undefined;
  private parking: Parking | undefined;
  private prober: Prober | undefined;
  /** Made with the first frame: most sockets are idle most of the time, and there are many. */
  private inbox: Inbox | undefined;
  /** Mail after this seq may be sent without a hello; undefined: none may. */
  private mailAfter: number | undefined;
  /** A complete frame has come. */
  private hasSpoken = false;
  private sentLargeFrame = false;

  constructor(
    readonly identity: PeerIdentity,
    readonly connection: Connection,
    readonly context: SignalingContext,
    /** Who is behind the connection, where somebody counts. */
    private readonly client?: Client,
  ) {}

  // ---- what the socket says ----

  /** The client can hear what it is told. Its first frame says so as well; later calls do nothing. */
  opened(): void {
    if (this.state !== "new") return;
    this.state = "joining";
    this.joinsAt = this.context.clock.monotonicMs();
    this.join();
  }

  /** A complete frame, in the order in which they came. */
  received(text: string): void {
    if (this.state === "new") this.opened();
    if (this.state === "gone") return;
    this.prober?.showsLife();
    this.hasSpoken = true;
    if (text.length >= largeFrame) this.sentLargeFrame = true;
    this.inbox ??= this.newInbox();
    const refusal = this.inbox.push(text);
    if (refusal === undefined) this.parking?.frame();
    else this.refuse(refusal, refusal === "parked_overflow" ? tooManyWait : "buffers full");
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
    if (this.state === "gone") return;
    const { seat } = this;
    this.end();
    if (seat) void this.context.engine.seats.leave(seat);
  }

  /** The server is going. Those who can be told learn it before their socket closes. */
  draining(retryAfterMs: number): void {
    const told = this.identity.v2 && this.state === "seated";
    if (told) this.connection.send(drainingFrame(retryAfterMs));
  }

  // ---- joining ----

  private join(): void {
    const joined = this.context.engine.seats.take(this.newcomer(), "free");
    void andThen(
      joined,
      (result): void => {
        if (result.outcome === "taken") return this.sitDown(result);
        if (this.state === "gone") return;
        if (result.outcome !== "busy") return this.noSpace(result);
        this.park(result.token);
      },
      () => this.storeUnreachable(),
    );
  }

  private newcomer() {
    const { appId, side, sid } = this.identity;
    return { appId, side, sid, accounts: this.client?.accounts ?? noAccounts, listener: this };
  }

  private park(occupant: number): void {
    this.state = "parked";
    this.inbox?.park();
    this.context.tally.parkedSockets++;
    this.parking = new Parking(this.newcomer(), occupant, this.context, {
      seated: (taken) => this.sitDown(taken),
      refused: (displaced) => {
        const text = `side ${this.identity.side} busy`;
        this.refuse(displaced ? "displaced" : "busy", text);
      },
      noSpace: (result) => this.noSpace(result),
      unreachable: () => this.storeUnreachable(),
    });
    this.parking.start();
    // A frame may have come before an engine elsewhere has said that the seat is taken.
    if (this.hasSpoken) this.parking.frame();
  }

  private sitDown(taken: Taken): void {
    const { clock, engine, tally } = this.context;
    this.leaveParking();
    if (this.state === "gone") {
      void engine.seats.leave(taken.seat);
      return;
    }
    this.state = "seated";
    this.seat = taken.seat;
    this.connection.joinTopic();
    if (taken.firstPair) tally.pairs++;
    tally.joinSeconds.observe((clock.monotonicMs() - this.joinsAt) / 1000);
    this.peerThere = taken.peer;
    void andThen(this.iceServers(), (iceServers) => {
      if (this.seat === taken.seat) this.begin(taken, iceServers);
    });
  }

  /** Undefined when the client is told of none. Those who can't be told of have no use for them. */
  private iceServers(): MaybePromise<readonly IceServer[] | undefined> {
    const { appId, side, v2 } = this.identity;
    return v2 ? this.context.iceServers?.(appId, side, this.client) : undefined;
  }

  private begin(taken: Taken, iceServers: readonly IceServer[] | undefined): void {
    const { engine } = this.context;
    const peer = this.greet(iceServers);
    if (!this.identity.mailboxClient && !taken.mailWaits) this.mailAfter = taken.lastSeq;
    // Mail may have come while the welcome waited for its ICE servers.
    if (this.identity.v2) this.pump?.pull();
    if (taken.held === 0) void engine.relay.start(taken.seat, false);
    else this.awaitReturn(taken.seat, peer);
    this.inbox?.release();
  }

  /** A frame whose turn has come. */
  handle(text: string): MaybePromise<void> {
    return handleFrame(this, text);
  }

  private newInbox(): Inbox {
    const inbox = new Inbox(this.connection, this.context, this, this.client?.accounts ?? []);
    if (this.state === "parked") inbox.park();
    else if (this.state !== "seated" || this.peerThere !== undefined) inbox.hold();
    return inbox;
  }

  /** Brings this side's mail; undefined without a seat. Made when there is first use for it. */
  get pump(): Pump | undefined {
    const { seat, connection } = this;
    if (this.openPump || seat === undefined) return this.openPump;
    const { engine, tally } = this.context;
    const frameType = this.identity.mailboxClient ? "deliver" : "send";
    this.openPump = new Pump(engine.mailboxes, seat, connection, frameType, tally);
    if (this.mailAfter !== undefined) this.openPump.openAfter(this.mailAfter);
    return this.openPump;
  }

  private greet(iceServers: readonly IceServer[] | undefined): boolean {
    const { side, v2 } = this.identity;
    const { heartbeatMs, wsMaxMsgBytes } = this.context;
    const peer = this.peerThere === true;
    this.peerThere = undefined;
    if (v2) {
      const welcome = { side, peer, heartbeatMs, maxMessageBytes: wsMaxMsgBytes };
      this.connection.send(welcomeFrame({ ...welcome, ...(iceServers?.length && { iceServers }) }));
    }
    if (peer) this.peerJoined();
    return peer;
  }

  private awaitReturn(seat: Seat, peer: boolean): void {
    const { clock, engine } = this.context;
    this.returning = new Returning(clock, (discard) => engine.relay.start(seat, discard));
    if (peer) this.returning.peerThere();
  }

  // ---- what the engine says ----

  relayed(frame: string, type: RelayType): boolean {
    this.context.tally.bytesOut[type] += this.connection.relay(frame);
    return !this.connection.congested;
  }

  peerJoined(): void {
    if (this.peerThere !== undefined) {
      this.peerThere = true;
      return;
    }
    this.connection.send(roomFull);
    if (this.identity.v2) this.connection.send(peerJoined);
    this.returning?.peerThere();
  }

  peerLeft(): void {
    if (this.peerThere !== undefined) {
      this.peerThere = false;
      return;
    }
    this.peerDrained();
    if (this.identity.v2) this.connection.send(peerLeft);
  }

  peerCongested(): void {
    this.connection.pause(pauseReasons.slowPeer);
  }

  peerDrained(): void {
    this.connection.resume(pauseReasons.slowPeer);
  }

  mailStored(): void {
    // Before the welcome is out, nothing is; what waits is read then.
    if (this.peerThere === undefined) this.pump?.pull();
  }

  replaced(why: "same_sid" | "dead"): void {
    this.context.tally.takeovers[why]++;
    this.end();
    if (why === "dead") this.connection.terminate("dead");
    else this.connection.close(closeCodes.normal, "replaced", "replaced");
  }

  cutOff(): void {
    this.storeUnreachable();
  }

  probed(): Promise<boolean> {
    this.prober ??= new Prober(this.connection, this.context.clock);
    return this.prober.ask(this.identity.mailboxClient || this.sentLargeFrame);
  }

  // ---- ends ----

  /** A client that cannot be told otherwise learns by the close that its mail was not stored. */
  mailRefused(why: "mailbox_full" | "mail_share"): void {
    const text = why === "mailbox_full" ? "mailbox full" : "this address has too much mail waiting";
    this.refuse(why, text);
  }

  private noSpace({ outcome }: NoSpace): void {
    if (outcome === "full") this.refuse("rooms_full", "no space for another room");
    else this.refuse("rooms_share", "this address holds as many rooms as it may");
  }

  /** Another server may well reach what this one cannot. */
  private storeUnreachable(): void {
    if (this.state !== "gone") this.refuse("unreachable", "store unreachable");
  }

  private refuse(reason: keyof typeof refusalCodes, text: string): void {
    const { seat } = this;
    this.end();
    if (seat) void this.context.engine.seats.leave(seat);
    this.connection.close(refusalCodes[reason], text, reason);
  }

  private end(): void {
    this.leaveParking();
    this.state = "gone";
    this.seat = undefined;
    this.openPump = undefined;
    this.returning?.stop();
    this.returning = undefined;
    this.prober?.closed();
    this.context.tally.drops.parked += this.inbox?.discard() ?? 0;
    this.connection.leaveTopic();
  }

  private leaveParking(): void {
    if (this.parking === undefined) return;
    this.parking.stop();
    this.parking = undefined;
    this.context.tally.parkedSockets--;
  }
}

import type { Side } from "../../src/base/ids.ts";
import type { Config } from "../../src/config/config.ts";
import { type EngineLimits, streamTotalBytes } from "../../src/engine/engine.ts";
import { isZombie, type Party } from "./clients.ts";
import type { Conn, Host, Wiretap } from "./network.ts";
import { epoch, nature, type Time } from "./time.ts";

/** A promise that was broken. */
export interface Failure {
  /** The name of the check that failed. */
  readonly check: string;
  readonly detail: string;
  readonly atMs: number;
  readonly appId: string | undefined;
}

/** A relayed frame. */
interface Frame {
  readonly text: string;
  readonly by: string;
  readonly n: number;
  /** When a server read it, on which connection; -1 before. */
  readAt: number;
  conn: Conn | undefined;
  isReceived: boolean;
}

interface Mail {
  readonly payload: string;
  readonly by: string;
  readonly n: number;
  readonly to: Side;
  /** When a server read it first, ms; -1 before. */
  readAt: number;
  conn: Conn | undefined;
  /** From the server's `stored` frame; undefined before it. */
  stored: { readonly seq: number; readonly atMs: number } | undefined;
  isReceived: boolean;
  /** The server may have lost it: it was killed, or forgot the room. */
  mayBeLost: boolean;
}

/** Counts of the relayed frames that a host has read. */
interface Losses {
  relayed: number;
  /** At most this many may be lost without a drop reason. */
  excused: number;
  /** Lost without a drop reason, at the last audit. */
  unnamed: number;
}

/** What is known of a connection. */
interface Facts {
  readonly party: Party;
  readonly room: Room;
  seated: boolean;
  seatedAt: number;
  /** When its `join` was read, if its URL names no room; -1 before. */
  joinedAt: number;
  /** When the last frame that it relayed was received. */
  progressAt: number;
  unseatedAt: number;
  roomFullAt: number;
  /** The watermark of its first `hello`; undefined before. */
  helloUpTo: number | undefined;
  helloAt: number;
  /** When its client last got something. */
  gotAt: number;
  lastSeq: number;
  /** The next seq may leave a gap after the last one. */
  mayJump: boolean;
  readonly payloads: Set<string>;
  /** Relayed frames that the server read and the peer has not received, oldest first. */
  unreceived: Frame[];
  /** The last frame received from each sender. */
  readonly frameFrom: Map<string, Frame>;
  /** The number of the last mail received from each sender. */
  readonly mailFrom: Map<string, number>;
  /** Mail that was confirmed as `stored`, by seq and side. */
  readonly storedBy: Map<string, Mail>;
}

interface CodeFacts {
  readonly appId: string;
  readonly expiresAtMs: number;
  /** The store may have forgotten it. */
  mayBeGone: boolean;
  asked: number;
  readonly mintedAt: number;
  redeemedAt: number;
  isRedeemed: boolean;
}

export class Room {
  readonly parties: Party[] = [];
  readonly frames = new Map<string, Frame>();
  readonly mails = new Map<string, Mail>();
  /** The mails that no reader has got yet. */
  readonly unread = new Set<Mail>();
  readonly mailIds = new Map<string, Mail>();
  /** When its last seat was given up, ms. */
  emptySince = 0;
  seats = 0;
  /** The store has gone back in time, so it may skip seqs. */
  mayRenumber = false;
  /** The highest seq that a side has acknowledged. */
  readonly acked: Record<Side, number> = { A: 0, B: 0 };
  /** The highest seq that a side got since the store last forgot this room. */
  readonly got: Record<Side, number> = { A: 0, B: 0 };
  /** How many mails for a side were read by a server since then. No seq may be higher. */
  readonly sent: Record<Side, number> = { A: 0, B: 0 };
  readonly history: [atMs: number, who: string, what: string, text: string][] = [];
  /** When the last fault at one of its nodes ended. */
  disturbedUntil = 0;
  /** Its clients are leaving. */
  isOver = false;

  constructor(
    readonly appId: string,
    readonly isMinted: boolean,
  ) {}

  note(atMs: number, who: string, what: string, text = ""): void {
    if (this.history.length >= 200) this.history.splice(0, 100);
    this.history.push([atMs, who, what, text]);
  }

  /** The last events. Only the first two and the last of more than three similar ones are shown. */
  report(): string[] {
    const lines: string[] = [];
    let [run, last] = [0, ""];
    for (const [at, who, what, text] of this.history) {
      const short = text.replace(/x{9,}/, ({ length }) => `x*${length}`).slice(0, 160);
      const kind = `${who} ${what} ${text.slice(0, 12)}`;
      run = kind === last ? run + 1 : 1;
      last = kind;
      if (run > 3) lines.pop();
      lines.push(`${clock(at)} ${who} ${what} ${short}${run > 3 ? `  (${run} alike)` : ""}`);
    }
    return lines.slice(-60);
  }

  /** The server may have forgotten the room: the checks rely on nothing before this. */
  forgets(): void {
    for (const mail of this.mails.values()) mail.mayBeLost = true;
    for (const counted of [this.acked, this.got, this.sent]) counted.A = counted.B = 0;
    this.mayRenumber = true;
  }
}

/** Close codes that a correct client may get. 1006 is the network. */
const ends = new Set([1000, 1001, 1006, 1008, 1013]);
const relayTypes = new Set(["offer", "answer", "ice", "sender_ready"]);
const v2Only = new Set([
  "welcome",
  "peer_joined",
  "peer_left",
  "stored",
  "error",
  "draining",
  "pong",
]);
/** After this time without a fault, a connection must have everything it was promised. */
const settledMs = 25_000;
/** A waiting newcomer gets a free seat within this time. */
const givenOnMs = 3_000;
/** A sender gets a new `room_full` within this time after the store may have lost its frames. */
const toldOfLossMs = 8_000;
/** A frame or mail is delivered within this time. */
const deliveredMs = 12_000;
/** A connection that got something within this time may still be getting what was sent before. */
const busyMs = 3_000;

/** Watches all connections and reports the first broken promise. */
export class Checks implements Wiretap {
  failure: Failure | undefined;
  hash = 0;
  readonly rooms = new Map<string, Room>();
  readonly facts = new Map<Conn, Facts>();
  private readonly parties = new Map<string, Party>();
  /** When the last fault that affects all connections ended. */
  disturbedUntil = 0;
  frames = 0;
  lastSeatedAt = 0;
  /** Strangers fill the server from many addresses: only rooms with a live code are sure to get space. */
  isCrowded = false;
  private readonly losses = new Map<Host, Losses>();
  private readonly codes = new Map<string, CodeFacts>();

  constructor(
    private readonly time: Time,
    private readonly limits: EngineLimits & Pick<Config, "maxSockets" | "maxCodes">,
    /** The arrangement is a single node. */
    private readonly isAlone: boolean,
  ) {}

  fail(check: string, detail: string, room?: Room): void {
    this.failure ??= { check, detail, atMs: this.time.now, appId: room?.appId };
  }

  newRoom(appId: string, isMinted: boolean): Room {
    const room = new Room(appId, isMinted);
    room.emptySince = this.time.now;
    this.rooms.set(appId, room);
    return room;
  }

  joins(room: Room, party: Party): void {
    room.parties.push(party);
    this.parties.set(party.id, party);
  }

  /** All clients have left the room: forgets it. */
  over(room: Room): void {
    for (const { id } of room.parties) this.parties.delete(id);
    this.rooms.delete(room.appId);
  }

  dialled(conn: Conn, party: Party, room: Room): void {
    this.facts.set(conn, {
      ...{
        party,
        room,
        seated: false,
        seatedAt: -1,
        progressAt: -1,
        unseatedAt: -1,
        joinedAt: -1,
        roomFullAt: -1,
        helloUpTo: undefined,
        helloAt: -1,
        gotAt: -1,
      },
      ...{ lastSeq: 0, mayJump: false, payloads: new Set(), unreceived: [] },
      ...{ frameFrom: new Map(), mailFrom: new Map(), storedBy: new Map() },
    });
  }

  private saw(conn: Conn, what: string, text: string): Facts | undefined {
    const facts = this.facts.get(conn);
    this.frames++;
    const short = text.length > 300 ? text.length : text;
    this.hash = Bun.hash.xxHash32(`${this.time.now}${conn.id}${what}${short}`, this.hash);
    facts?.room.note(this.time.now, conn.id, what, text);
    return facts;
  }

  // ---- events on the wire ----

  opened(conn: Conn): void {
    this.saw(conn, "upgraded", "");
  }

  refused(conn: Conn, status: number): void {
    const facts = this.saw(conn, "refused", String(status));
    // A client that is gone is not let in. A node that stops or has just lost its store may refuse.
    if (facts === undefined || conn.hasGone) return;
    const isCrowdedOut = this.isCrowded && !this.hasCode(facts.room);
    if (status === 503 && (isCrowdedOut || this.mayRefuse(conn.host))) return;
    this.fail("refused for nothing", `${conn.id}: ${status}`, facts.room);
  }

  private hasCode({ appId }: Room): boolean {
    for (const { appId: of, mayBeGone, expiresAtMs } of this.codes.values()) {
      if (of === appId) return !mayBeGone && this.time.now < expiresAtMs;
    }
    return false;
  }

  private mayRefuse(host: Host): boolean {
    const disturbedUntil = Math.max(this.disturbedUntil, host.disturbedUntil);
    return host.isDraining || this.time.now < disturbedUntil;
  }

  clientSent(conn: Conn, text: string): void {
    const facts = this.facts.get(conn);
    if (facts === undefined) return;
    const { room, party } = facts;
    const frame = parsed(text);
    const type = String(frame["type"]);
    if (relayTypes.has(type)) {
      const [by, n] = [String(frame["by"]), Number(frame["n"])];
      const conn = undefined;
      room.frames.set(text, { text, by, n, readAt: -1, conn, isReceived: false });
    } else if (type === "send") {
      const payload = String(frame["payload"]);
      const n = Number(payload.split(":", 2)[1]);
      if (Number.isNaN(n)) return;
      const to = frame["to"] as Side;
      const fresh = { payload, by: party.id, n, to, readAt: -1, conn: undefined };
      const rest = { stored: undefined, isReceived: false, mayBeLost: false };
      const mail = room.mails.get(payload) ?? { ...fresh, ...rest };
      room.mails.set(payload, mail);
      if (!mail.isReceived) room.unread.add(mail);
      if (frame["id"] !== undefined) room.mailIds.set(String(frame["id"]), mail);
    }
  }

  serverRead(conn: Conn, text: string): void {
    const facts = this.saw(conn, ">", text);
    if (facts === undefined) return;
    const { room } = facts;
    const frame = room.frames.get(text);
    if (frame !== undefined) {
      frame.readAt = this.time.now;
      frame.conn = conn;
      // A client without a seat may still be refused, and its frames are dropped then.
      if (facts.seated) facts.unreceived.push(frame);
      return;
    }
    const said = parsed(text);
    if (said["type"] === "send") {
      const mail = room.mails.get(String(said["payload"]));
      if (mail !== undefined) room.sent[mail.to]++;
      if (mail === undefined || mail.readAt >= 0) return;
      mail.readAt = this.time.now;
      mail.conn = facts.seated ? conn : undefined;
    } else if (said["type"] === "join") {
      facts.joinedAt = this.time.now;
    } else if (said["type"] === "hello") {
      const upTo = Math.max(0, Number(said["deliveredUpTo"] ?? 0));
      if (facts.helloUpTo === undefined) facts.helloAt = this.time.now;
      facts.helloUpTo ??= upTo;
      // Its watermark is from a room since forgotten: stored mail is renumbered.
      if (facts.party.kind === "plain" && upTo > facts.lastSeq) facts.mayJump = true;
      const { side } = facts.party;
      room.acked[side] = Math.max(room.acked[side], upTo);
      if (upTo > room.got[side] && upTo <= room.sent[side]) this.acksUnread(room, side);
    } else if (said["type"] === "delivered") {
      const { side } = facts.party;
      room.acked[side] = Math.max(room.acked[side], Number(said["upTo"]));
    }
  }

  /** It counts what its side got in another life of the room, which no server can know. */
  private acksUnread(room: Room, side: Side): void {
    for (const mail of room.unread) if (mail.to === side && mail.readAt >= 0) mail.mayBeLost = true;
  }

  serverSent(conn: Conn, text: string): void {
    const facts = this.facts.get(conn);
    if (facts === undefined) return;
    if (text === '{"type":"room_full"}') facts.roomFullAt = this.time.now;
    else if (facts.room.frames.has(text)) {
      this.lossesOf(conn.host).relayed++;
    }
  }

  lostEarly(conn: Conn, text: string): void {
    const facts = this.saw(conn, "loses", text);
    const mail = facts?.room.mails.get(String(parsed(text)["payload"]));
    if (mail) mail.mayBeLost = true;
    // After a stall or a sleep, the client reads everything that came meanwhile at once.
    const asleepUntil = facts?.party.process.stoppedUntil ?? 0;
    if (conn.disturbedUntil > 0 || asleepUntil >= conn.openedAt) return;
    this.fail("told too early", `${conn.id} cannot hear ${text.slice(0, 40)} yet`, facts?.room);
  }

  serverDropped(conn: Conn): void {
    const facts = this.saw(conn, "dropped", "");
    this.fail("frame let fall", `${conn.id}: past the runtime's limit`, facts?.room);
  }

  subscribed(conn: Conn, _topic: string, isOn: boolean): void {
    const facts = this.saw(conn, isOn ? "seated" : "unseated", "");
    if (facts === undefined || facts.seated === isOn) return;
    const { room } = facts;
    facts.seated = isOn;
    room.seats += isOn ? 1 : -1;
    if (isOn && room.seats === 1) this.roomBegins(room);
    if (isOn) facts.seatedAt = this.lastSeatedAt = this.time.now;
    if (isOn) return;
    facts.unseatedAt = this.time.now;
    if (room.seats === 0) room.emptySince = this.time.now;
    this.time.after(givenOnMs, () => this.seatIsGivenOn(room, facts.party.side), nature);
  }

  /** A waiting newcomer gets the seat as soon as it is free. */
  private seatIsGivenOn(room: Room, side: Side): void {
    const conns = room.parties.filter((party) => party.side === side).flatMap(({ conns }) => conns);
    if (conns.some((conn) => this.facts.get(conn)?.seated)) return;
    // One that lost the seat does not wait: its close may, until what is unsent was taken.
    const isNew = (conn: Conn) => (this.facts.get(conn)?.unseatedAt ?? 0) < 0;
    const waiting = conns.find((conn) => isNew(conn) && this.isSettled(conn, givenOnMs, room));
    if (waiting && this.asksForSeat(waiting)) this.fail("free and not given", waiting.id, room);
  }

  /** The connection has named its room. */
  private asksForSeat(conn: Conn): boolean {
    const facts = this.facts.get(conn);
    return facts !== undefined && (facts.party.kind !== "v2" || facts.joinedAt >= 0);
  }

  /** A client enters an empty room. The server may have forgotten the room. */
  private roomBegins(room: Room): void {
    const emptyMs = this.time.now - room.emptySince;
    const hasMail = room.unread.size > 0;
    const keptMs = room.isMinted || hasMail ? this.limits.roomTtlMs : this.limits.relayHoldMs;
    if (emptyMs >= keptMs - 1_500) room.forgets();
  }

  serverCuts(conn: Conn): void {
    const facts = this.saw(conn, "cuts", "");
    // A node that stops cuts connections that it cannot close in time.
    if (facts === undefined || conn.host.isDraining) return;
    const isWell = this.isSettled(conn, settledMs, facts.room);
    if (isWell) this.fail("cut for nothing", conn.id, facts.room);
  }

  serverClosed(conn: Conn, code: number, reason: string): void {
    const facts = this.saw(conn, "closes", `${code} ${reason}`);
    if (facts === undefined) return;
    // Frames that wait for a newcomer's first frame are lost without a drop reason when it closes: 32 at most.
    if (this.time.now - conn.openedAt < 100) this.lossesOf(conn.host).excused += 32;
    if (facts.seated) this.subscribed(conn, "", false);
  }

  clientClosed(conn: Conn, code: number, reason: string): void {
    const facts = this.saw(conn, "closed", `${code} ${reason}`);
    if (facts === undefined) return;
    const { room, party } = facts;
    if (!ends.has(code)) this.fail("strange close", `${conn.id}: ${code} ${reason}`, room);
    if (code !== 1000 || reason === "") return;
    const same = room.parties.filter(({ side, sid }) => side === party.side && sid === party.sid);
    const others = same.flatMap(({ conns }) => conns).filter((other) => other !== conn);
    // One that left while it was being seated has replaced it, too.
    if (!others.some(({ openedAt, hasGone }) => openedAt >= 0 || hasGone)) {
      this.fail("replaced by nobody", conn.id, room);
    }
  }

  clientGot(conn: Conn, text: string): void {
    const facts = this.saw(conn, "<", text);
    if (facts === undefined) return;
    facts.gotAt = this.time.now;
    const frame = facts.room.frames.get(text);
    if (frame !== undefined) return this.gotFrame(conn, facts, frame);
    const said = JSON.parse(text) as Record<string, unknown>;
    const type = String(said["type"]);
    if (type === "deliver" || type === "send") return this.gotMail(conn, facts, said);
    if (type === "room_full") return;
    if (!v2Only.has(type)) {
      this.fail(
        "altered frame",
        `${conn.id} got what nobody sent: ${text.slice(0, 200)}`,
        facts.room,
      );
    } else if (facts.party.kind !== "v2") {
      this.fail("unasked frame", `${conn.id} (${facts.party.kind}) got ${type}`, facts.room);
    }
    if (type === "stored") this.gotStored(conn, facts, said);
  }

  private gotFrame(conn: Conn, facts: Facts, frame: Frame): void {
    const { room, party } = facts;
    const { by, n } = frame;
    const what = `${conn.id} got frame ${n} of ${by}`;
    if (this.parties.get(by)?.side === party.side) return this.fail("wrong side", what, room);
    if (frame.isReceived) return this.fail("frame repeated", what, room);
    if (facts.roomFullAt < 0) this.fail("frame before room_full", what, room);
    frame.isReceived = true;
    const before = facts.frameFrom.get(by);
    facts.frameFrom.set(by, frame);
    const sender = frame.conn && this.facts.get(frame.conn);
    if (before !== undefined) {
      if (n < before.n) return this.fail("frames reordered", `${what} after ${before.n}`, room);
      if (before.conn === frame.conn && sender) this.noGap(conn, sender, before, frame, what);
    }
    if (sender) sender.progressAt = this.time.now;
    if (sender) sender.unreceived = sender.unreceived.filter((other) => other !== frame);
  }

  /** No frame is lost between two frames that came from one connection to another. */
  private noGap(conn: Conn, sender: Facts, before: Frame, frame: Frame, what: string): void {
    // Frames sent before both sides knew each other may be lost. A full store takes no frames for other nodes.
    const toldAt = Math.max(conn.openedAt + 2_000, sender.roomFullAt);
    const lost = sender.unreceived.find(
      ({ n, readAt }) => n > before.n && n < frame.n && readAt > toldAt && !this.wasFull(readAt),
    );
    if (lost === undefined) return;
    const gap = { lost, sender, what: `${what} after ${before.n}: not ${lost.n}` };
    if (this.isAlone) this.lostFrame(gap);
    else this.time.after(toldOfLossMs, () => this.lostFrame(gap));
  }

  /** A lost frame is allowed only if the sender got a new `room_full`, or is closed. */
  private lostFrame({ lost, sender, what }: { lost: Frame; sender: Facts; what: string }): void {
    const isTold = sender.roomFullAt > lost.readAt || (lost.conn?.closedAt ?? 0) >= 0;
    if (!isTold) this.fail("frame lost between two", what, sender.room);
  }

  private gotMail(conn: Conn, facts: Facts, said: Record<string, unknown>): void {
    const { room, party } = facts;
    const seq = Number(said["seq"]);
    const payload = String(said["payload"]);
    const what = `${conn.id} got mail ${seq} (${payload.slice(0, 24)})`;
    const mail = room.mails.get(payload);
    if (mail === undefined) return this.fail("mail altered", what, room);
    if (mail.to !== party.side) return this.fail("mail for the other side", what, room);
    if (said["type"] !== (party.kind === "v2" || party.kind === "mailbox" ? "deliver" : "send")) {
      return this.fail("mail by the wrong name", `${what}: ${String(said["type"])}`, room);
    }
    // A store that has forgotten the id stores the mail again.
    const isRepeated = facts.payloads.has(payload) && !mail.mayBeLost;
    if (isRepeated) return this.fail("mail repeated", what, room);
    facts.payloads.add(payload);
    const hello = facts.helloUpTo ?? 0;
    if (facts.lastSeq > 0 && seq !== facts.lastSeq + 1) {
      if (!facts.mayJump && !(room.mayRenumber && seq > facts.lastSeq))
        this.fail("seq jumps", `${what} after ${facts.lastSeq}`, room);
      facts.mayJump = false;
    }
    // A plain client may get mail before its hello is read.
    if (facts.lastSeq === 0 && hello > 0 && party.kind !== "plain") {
      if (seq <= hello) return this.fail("mail again", `${what} after hello ${hello}`, room);
      if (!room.mayRenumber && hello >= room.acked[party.side] && seq > hello + 1) {
        return this.fail("mail left out", `${what} after hello ${hello}`, room);
      }
    }
    facts.lastSeq = seq;
    room.got[party.side] = Math.max(room.got[party.side], seq);
    const before = facts.mailFrom.get(mail.by) ?? 0;
    if (mail.n <= before && !mail.mayBeLost)
      return this.fail("mails reordered", `${what} after ${before}`, room);
    facts.mailFrom.set(mail.by, mail.n);
    mail.isReceived = true;
    room.unread.delete(mail);
  }

  private gotStored(conn: Conn, facts: Facts, said: Record<string, unknown>): void {
    const { room, storedBy } = facts;
    const mail = room.mailIds.get(String(said["id"]));
    const seq = Number(said["seq"]);
    if (mail === undefined) return this.fail("stored unsent", `${conn.id}: ${said["id"]}`, room);
    if (mail.stored && mail.stored.seq !== seq && !mail.mayBeLost) {
      this.fail("stored twice", `${conn.id}: ${mail.stored.seq} and ${seq}`, room);
    }
    const seqTo = `${seq} to ${mail.to}`;
    if ((storedBy.get(seqTo) ?? mail) !== mail)
      this.fail("seq given again", `${conn.id}: ${seqTo}`, room);
    storedBy.set(seqTo, mail);
    mail.stored ??= { seq, atMs: this.time.now };
    let waiting = 0;
    for (const { to, stored, mayBeLost } of room.unread) {
      if (to === mail.to && stored && !mayBeLost) waiting++;
    }
    if (waiting > this.limits.mailboxMaxMails) {
      this.fail("mailbox overfull", `${conn.id}: ${waiting} mails wait`, room);
    }
  }

  // ---- codes ----

  minted(code: string, appId: string, askedAtMs: number): void {
    const expiresAtMs = askedAtMs + this.limits.roomTtlMs;
    const known = this.codes.get(code);
    if (
      known &&
      !known.mayBeGone &&
      known.asked === 0 &&
      known.expiresAtMs > this.time.now + 1_000
    ) {
      this.fail("code minted twice", `for ${known.appId} and ${appId}`);
    }
    const mayBeGone = askedAtMs <= this.forgottenAt;
    this.codes.set(code, {
      appId,
      expiresAtMs,
      mayBeGone,
      asked: 0,
      mintedAt: this.time.now,
      redeemedAt: -1,
      isRedeemed: false,
    });
  }

  /** A client redeems the code. */
  redeems(code: string, who: string): (status: number, appId: string) => void {
    const before = this.codes.get(code);
    // Only the first redeem must succeed. Its answer may be lost on the way.
    if (before) before.asked++;
    const askedAt = this.time.now;
    return (status, appId) => {
      if (status === 429 && who !== "guesser") this.fail("redeem refused", `${who}: 429`);
      if (before === undefined) return;
      const isLive = !before.mayBeGone && before.expiresAtMs > this.time.now;
      if (status === 410 && before.asked === 1 && isLive) {
        this.fail("live code gone", `${who} asked for the code of ${before.appId}`);
      }
      if (status !== 200) return;
      if (appId !== before.appId) this.fail("another room", `${appId}, not ${before.appId}`);
      if (before.isRedeemed) this.fail("redeemed twice", `${before.appId}, now by ${who}`);
      before.redeemedAt = this.time.now;
      // A store that forgets the redeem may give the code once more.
      before.isRedeemed = askedAt > this.forgottenAt;
    };
  }

  // ---- faults that affect all connections ----

  /** For this long, and a while after it, nothing has to be delivered. */
  disturb(ms: number): void {
    this.disturbedUntil = Math.max(this.disturbedUntil, this.time.now + ms);
  }

  /** Counts and codes from before this moment may be forgotten or expired. */
  forgottenAt = 0;

  /** A node's clock was set: everything with an expiry may expire early or late. */
  clockSet(): void {
    this.forgottenAt = this.time.now;
    for (const room of this.rooms.values()) if (room.seats === 0) room.forgets();
    for (const code of this.codes.values()) code.mayBeGone = true;
  }

  private fullSince = -1;
  private fullUntil = -1;

  /** The store is full for this long: it takes no frames for other nodes. */
  full(ms: number): void {
    this.fullSince = this.time.now;
    this.fullUntil = this.time.now + ms + 2_000;
  }

  private wasFull(atMs: number): boolean {
    // A frame may wait in the inbox after it was read.
    return this.fullSince <= atMs + 30_000 && atMs <= this.fullUntil;
  }

  /** Disturbs the rooms that have a connection on this node. */
  disturbRoomsOf(host: Host, ms: number): void {
    for (const [conn, { room }] of this.facts) {
      if (conn.host === host)
        room.disturbedUntil = Math.max(room.disturbedUntil, this.time.now + ms);
    }
  }

  /** The store has gone back in time: changes since `sinceMs` may be lost. */
  forgetsSince(sinceMs: number): void {
    this.forgottenAt = this.time.now;
    for (const room of this.rooms.values()) {
      room.mayRenumber = true;
      for (const mail of room.mails.values()) {
        mail.mayBeLost ||= (mail.stored?.atMs ?? mail.readAt + deliveredMs) >= sinceMs;
      }
    }
    for (const code of this.codes.values()) {
      if (code.mintedAt >= sinceMs) code.mayBeGone = true;
      if (code.redeemedAt >= sinceMs) code.isRedeemed = false;
    }
  }

  /** All state is lost. */
  stateLost(): void {
    this.forgottenAt = this.time.now;
    for (const room of this.rooms.values()) room.forgets();
    for (const code of this.codes.values()) code.mayBeGone = true;
  }

  // ---- audits ----

  /** Called after a while without faults or traffic: nothing may be paused or unsent. */
  auditQuiet(hosts: readonly Host[]): void {
    for (const { tally } of hosts) {
      const { pausedSockets, bufferedBytes } = tally;
      if (pausedSockets > 0) this.fail("paused for ever", `${pausedSockets} sockets`);
      if (bufferedBytes > 0) this.fail("never sent", `${bufferedBytes} bytes`);
    }
  }

  audit(hosts: readonly Host[]): void {
    for (const [conn, facts] of this.facts) {
      if (conn.closedAt >= 0 && conn.client.readyState === 3) {
        if (this.time.now - conn.closedAt > 60_000) this.facts.delete(conn);
      } else this.auditConn(conn, facts);
    }
    for (const room of this.rooms.values()) this.auditRoom(room);
    for (const host of hosts) if (!host.process.dead) this.auditHost(host);
    if (!this.isAlone) this.auditSeats(hosts);
  }

  private isSettled(conn: Conn, forMs: number, room?: Room): boolean {
    const { now } = this.time;
    const { disturbedUntil, openedAt, host } = conn;
    // Its node may be unable to reach the store.
    const hostUntil = Math.max(host.disturbedUntil, host.process.stoppedUntil);
    const since = Math.max(openedAt, disturbedUntil, this.disturbedUntil, hostUntil);
    return conn.isOpen && now - Math.max(since, room?.disturbedUntil ?? 0) >= forMs;
  }

  private auditConn(conn: Conn, facts: Facts): void {
    const { server } = conn;
    const { now } = this.time;
    const { room, seated, unseatedAt } = facts;
    const quietSince = Math.max(this.disturbedUntil, conn.host.disturbedUntil, room.disturbedUntil);
    if (server?.readyState !== 1) return;
    const seatlessSince = Math.max(conn.openedAt, facts.joinedAt, unseatedAt, quietSince);
    if (!seated && this.asksForSeat(conn) && now - seatlessSince > 30_000) {
      const what =
        unseatedAt < 0 ? "neither seated nor sent away" : "not told that it lost its seat";
      this.fail("seatless", `${conn.id} is ${what}`, room);
    }
    const stuckSince = Math.max(server.pausedAt, facts.progressAt);
    if (server.paused && now - stuckSince > settledMs && this.isSettled(conn, settledMs)) {
      // It must wait for a peer that does not read.
      const peers = [...this.facts].filter(([, other]) => other.room === room);
      const slow = peers.some(([peer]) => peer !== conn && !this.isSettled(peer, settledMs));
      if (!slow) this.fail("paused for ever", conn.id, room);
    }
  }

  /** The only connection of a side, if it has exactly one and that is settled. */
  private holder(room: Room, side: Side): [Conn, Facts] | undefined {
    let found: [Conn, Facts] | undefined;
    for (const party of room.parties) {
      if (party.side !== side) continue;
      // A zombie and its successor take the seat from each other.
      if (isZombie(party) && !party.hasLeft) return undefined;
      for (const conn of party.conns) {
        const isThere = conn.server?.readyState === 1 || conn.client.readyState < 2;
        const facts = this.facts.get(conn);
        if (!isThere || facts === undefined) continue;
        const isSettled = this.isSettled(conn, settledMs, room);
        if (found !== undefined || !isSettled) return undefined;
        found = [conn, facts];
      }
    }
    return found;
  }

  private auditRoom(room: Room): void {
    const a = this.holder(room, "A");
    const b = this.holder(room, "B");
    for (const [conn, facts] of [a, b].filter((one) => one !== undefined)) {
      // One that lost its seat is being closed: `auditConn` sees that this happens.
      const isNew = !facts.seated && facts.unseatedAt < 0;
      if (isNew) this.fail("no seat", `${conn.id} is alone on its side`, room);
      this.mailArrives(room, conn, facts);
    }
    if (!a || !b) return;
    // With a shared store, `room_full` may come before the other socket is open, but not before its request.
    const cameAt = ({ openedAt, askedAt }: Conn) => (this.isAlone ? openedAt : askedAt);
    const since = Math.max(cameAt(a[0]), cameAt(b[0]));
    const seatedAt = Math.max(a[1].seatedAt, b[1].seatedAt, this.time.now - settledMs + 2_000);
    for (const [conn, { roomFullAt, unreceived, progressAt }] of [a, b]) {
      if (roomFullAt < since) this.fail("no room_full", `${conn.id} since ${clock(since)}`, room);
      // While frames are still arriving, `noGap` checks for lost ones.
      if (progressAt > this.time.now - deliveredMs) continue;
      const before = this.time.now - deliveredMs;
      const pairedAt = Math.max(seatedAt, roomFullAt);
      const lost = unreceived.find(
        ({ readAt }) => readAt > pairedAt && readAt < before && !this.wasFull(readAt),
      );
      if (lost) this.fail("frame lost", `${lost.n} of ${lost.by}`, room);
    }
  }

  /** Accepted mail reaches a reader that is connected. */
  private mailArrives(room: Room, conn: Conn, { party, helloAt, gotAt }: Facts): void {
    const before = this.time.now - deliveredMs;
    if (!party.reads || helloAt < 0 || helloAt > before) return;
    // Mail waits for what is already under way to it, on a link that may be slow.
    if (this.time.now - gotAt < busyMs) return;
    for (const mail of room.unread) {
      if (mail.to !== party.side || mail.mayBeLost) continue;
      if (this.acceptedBefore(mail, before)) {
        return this.fail("mail lost", `${conn.id} has not got ${mail.n} of ${mail.by}`, room);
      }
    }
  }

  /** Mail is accepted if `stored` came, or, without `nt.v2`, if its socket stayed open after the read. */
  private acceptedBefore(mail: Mail, before: number): boolean {
    if (mail.stored) return mail.stored.atMs < before;
    const { conn, readAt, by } = mail;
    if (conn === undefined || readAt >= before || this.parties.get(by)?.kind === "v2") return false;
    return conn.closedAt < 0 || conn.closedAt > readAt + deliveredMs;
  }

  private lossesOf(host: Host): Losses {
    const losses = this.losses.get(host) ?? { relayed: 0, excused: 0, unnamed: 0 };
    this.losses.set(host, losses);
    return losses;
  }

  /** Each relayed frame that was read was relayed, is held, or was dropped and counted with a reason. */
  private auditLosses(host: Host): void {
    const { framesIn, drops } = host.tally;
    const read = framesIn.offer + framesIn.answer + framesIn.ice + framesIn.sender_ready;
    const dropped =
      drops.no_peer + drops.hold_full + drops.hold_share + drops.hold_expired + drops.stale;
    const losses = this.lossesOf(host);
    const unnamed = read - losses.relayed - host.core.engine.sizes().heldFrames - dropped;
    // Frames that wait for a newcomer are counted in the next audit, or were lost with it. Some of the
    // frames dropped as `replaced` are mail.
    const most = losses.excused + drops.replaced;
    const isLasting = Math.min(unnamed, losses.unnamed) > most;
    if (isLasting || unnamed < 0) this.fail("losses miscounted", `${unnamed} frames, not ${most}`);
    losses.unnamed = unnamed;
  }

  private auditHost(host: Host): void {
    const conns = [...host.server.conns];
    const open = conns.filter(({ server }) => server?.readyState === 1).length;
    // A socket counts as soon as it asks for its seat.
    const counted = host.parts.openSockets();
    if (counted < open || counted > open + host.server.pendingUpgrades) {
      this.fail("sockets miscounted", `${counted} in place of ${open}`);
    }
    this.auditBounds(host, counted);
    if (this.isAlone) this.auditLosses(host);
    for (const [topic, members] of host.server.topics) {
      if (members.size > 1) this.twoHolders(topic, members);
    }
  }

  /** No bound of the settings is exceeded. With Redis: as of the last sweep. */
  private auditBounds(host: Host, sockets: number): void {
    const sizes = host.core.engine.sizes();
    const { maxRooms, maxCodes, maxSockets, mailTotalBytes, ...limits } = this.limits;
    const { heldFrames, mails, streamBytes } = sizes;
    const bounds: Readonly<Record<string, readonly [is: number, most: number]>> = {
      sockets: [sockets, maxSockets],
      rooms: [sizes.rooms, maxRooms],
      codes: [sizes.codesLive, maxCodes],
      mails: [mails, 2 * sizes.rooms * limits.mailboxMaxMails],
      "held frames": [heldFrames, 2 * sizes.rooms * limits.holdMaxFrames],
      bytes: [sizes.mailBytes + sizes.heldBytes + sizes.idBytes, mailTotalBytes],
      "stream bytes": [streamBytes, Math.max(streamTotalBytes(this.limits), 3 * 4_194_304)],
    };
    for (const [what, [is, most]] of Object.entries(bounds)) {
      if (is > most) this.fail("past a bound", `${is} ${what} in place of ${most}`);
    }
  }

  private twoHolders(topic: string, members: Iterable<{ readonly conn: Conn }>): void {
    const ids = Array.from(members, ({ conn }) => conn.id).join(", ");
    this.fail("two holders", ids, this.rooms.get(topic.split("/", 1)[0] ?? ""));
  }

  /** No side has two settled holders on different nodes. */
  private auditSeats(hosts: readonly Host[]): void {
    const holders = new Map<string, { readonly conn: Conn }[]>();
    for (const { server } of hosts) {
      for (const [topic, members] of server.topics) {
        const known = holders.get(topic) ?? [];
        known.push(...[...members].filter(({ conn }) => this.isSettled(conn, settledMs)));
        holders.set(topic, known);
      }
    }
    for (const [topic, members] of holders) {
      if (members.length > 1) this.twoHolders(topic, members);
    }
  }
}

/** A frame's fields; empty if it is not a JSON object. */
export function parsed(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(text) as Record<string, unknown> | null) ?? {};
  } catch {
    return {};
  }
}

/** Formats a moment of the simulation for reports. */
export function clock(ms: number): string {
  return new Date(epoch + ms).toISOString().slice(11, 23);
}

import { drainMicrotasks } from "bun:jsc";
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { Engine } from "../../src/engine/engine.ts";
import type { Parts } from "../../src/server/parts.ts";
import type { Tally } from "../../src/telemetry/tally.ts";
import type { PeerSocket } from "../../src/ws/peer-socket.ts";
import type { Chance } from "../support/chance.ts";
import type { Process, Time } from "./time.ts";

type ItemKind = "request" | "accepted" | "refused" | "text" | "ping" | "pong" | "close" | "end";

/** One message on a connection. */
interface Item {
  readonly kind: ItemKind;
  readonly text: string;
  /** The close code, or the HTTP status of a refusal; otherwise 0. */
  readonly code: number;
  at: number;
}

/**
 * One direction of a connection. Items arrive later and in order. Items of one ms form one segment, and
 * all items that have arrived are read at once.
 */
class Pipe {
  /** Nothing arrives any more, and neither end notices. */
  isDead = false;
  private readonly queue: Item[] = [];
  private isPlanned = false;
  private isBlocked = false;
  private stalledUntil = 0;
  private putAt = -1;
  private arrivesAt = 0;

  constructor(
    private readonly time: Time,
    private readonly latency: () => number,
    private readonly reader: Process,
    private readonly read: (items: readonly Item[]) => void,
  ) {}

  put(kind: ItemKind, text = "", code = 0): void {
    if (this.isDead) return;
    const { now } = this.time;
    if (now !== this.putAt) {
      this.putAt = now;
      this.arrivesAt = Math.max(this.arrivesAt, now + this.latency());
    }
    this.queue.push({ kind, text, code, at: this.arrivesAt });
    this.plan();
  }

  /** Drops everything that has not been read yet. Only `end` still arrives. */
  cut(): void {
    this.queue.length = 0;
    this.stalledUntil = 0;
    this.put("end");
    this.isDead = true;
  }

  stall(ms: number): void {
    this.stalledUntil = Math.max(this.stalledUntil, this.time.now + ms);
  }

  /** The reader reads nothing while `isBlocked`. */
  block(isBlocked: boolean): void {
    this.isBlocked = isBlocked;
    this.plan();
  }

  private plan(): void {
    const [first] = this.queue;
    if (this.isPlanned || this.isBlocked || first === undefined) return;
    this.isPlanned = true;
    const at = Math.max(first.at, this.stalledUntil);
    this.time.after(at - this.time.now, () => this.arrive(), this.reader);
  }

  private arrive(): void {
    this.isPlanned = false;
    const { now } = this.time;
    if (!this.isBlocked && now >= this.stalledUntil) {
      let count = 0;
      while (count < this.queue.length && (this.queue[count] as Item).at <= now) count++;
      if (count > 0) this.read(this.queue.splice(0, count));
    }
    this.plan();
  }
}

/** The request of a client that connects. */
export interface Dial {
  readonly url: string;
  readonly protocol: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** It loses frames that it reads together with the `101`, as npm `ws` does: its listener is set too late. */
  readonly losesEarly?: boolean;
}

/** Is called for every event at both ends of all connections. */
export interface Wiretap {
  opened(conn: Conn): void;
  clientSent(conn: Conn, text: string): void;
  refused(conn: Conn, status: number): void;
  /** The server has read a frame, and handles it now. */
  serverRead(conn: Conn, text: string): void;
  /** The server sends a frame. */
  serverSent(conn: Conn, text: string): void;
  /** The runtime dropped a frame instead of sending it. */
  serverDropped(conn: Conn): void;
  subscribed(conn: Conn, topic: string, isOn: boolean): void;
  /** The server cuts the connection, without a closing handshake. */
  serverCuts(conn: Conn): void;
  serverClosed(conn: Conn, code: number, reason: string): void;
  clientGot(conn: Conn, text: string): void;
  /** A frame came together with the `101`, and its client does not listen yet. */
  lostEarly(conn: Conn, text: string): void;
  clientClosed(conn: Conn, code: number, reason: string): void;
}

/** A server process, at which connections end. */
export interface Host {
  readonly process: Process;
  readonly parts: Parts;
  readonly tally: Tally;
  readonly core: { readonly engine: Pick<Engine, "sizes"> };
  isListening: boolean;
  readonly isDraining: boolean;
  /** When the last fault of this host ended. */
  readonly disturbedUntil: number;
  readonly server: FakeServer;
}

/** A connection, starting with its request. */
export class Conn {
  readonly up: Pipe;
  readonly down: Pipe;
  server: ServerSocket | undefined;
  /** When the server read the request, ms; -1 before. */
  askedAt = -1;
  /** When the server accepted the request, ms; -1 before. */
  openedAt = -1;
  /** The client had left before the server answered its request. */
  hasGone = false;
  /** When the server's end was closed, ms; -1 before. */
  closedAt = -1;
  /** When the last fault of this connection ended; infinite: it does not end. */
  disturbedUntil = 0;

  constructor(
    readonly id: string,
    readonly time: Time,
    readonly draws: Chance,
    readonly address: string,
    readonly dial: Dial,
    readonly host: Host,
    readonly tap: Wiretap,
    readonly client: ClientSocket,
    clientProcess: Process,
  ) {
    const baseMs = 1 + draws.below(draws.oneIn(4) ? 150 : 30);
    const latency = () => baseMs + (draws.oneIn(3) ? draws.below(12) : 0);
    this.up = new Pipe(time, latency, host.process, (items) => host.server.read(this, items));
    this.down = new Pipe(time, latency, clientProcess, (items) => client.read(items));
    this.up.put("request");
  }

  get isOpen(): boolean {
    return this.server?.readyState === 1 && this.client.readyState === 1;
  }

  disturb(ms: number): void {
    this.disturbedUntil = Math.max(this.disturbedUntil, this.time.now + ms);
  }

  // ---- faults ----

  reset(): void {
    this.disturb(Number.POSITIVE_INFINITY);
    this.up.cut();
    this.down.cut();
  }

  /** The network between them is gone, and neither end notices. */
  loseNetwork(): void {
    this.disturb(Number.POSITIVE_INFINITY);
    this.up.isDead = true;
    this.down.isDead = true;
    this.up.stall(Number.POSITIVE_INFINITY);
    this.down.stall(Number.POSITIVE_INFINITY);
  }

  /** The connection breaks, and only one end notices. */
  cutAt(end: "client" | "server"): void {
    const [told, other] = end === "client" ? [this.down, this.up] : [this.up, this.down];
    this.disturb(Number.POSITIVE_INFINITY);
    told.cut();
    other.isDead = true;
    other.stall(Number.POSITIVE_INFINITY);
  }

  stall(direction: "up" | "down", ms: number): void {
    this.disturb(ms);
    this[direction].stall(ms);
  }

  /** The client reads nothing for a while. */
  stopReading(ms: number): void {
    this.disturb(ms);
    this.down.block(true);
    this.time.after(ms, () => this.down.block(false));
  }
}

/** A client's end, with the interface of a browser's WebSocket. */
export class ClientSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  readyState = 0;
  protocol = "";
  /** Undefined if no server listens. */
  conn: Conn | undefined;

  send(text: string): void {
    if (this.readyState !== 1 || this.conn === undefined) return;
    this.conn.tap.clientSent(this.conn, text);
    this.conn.up.put("text", text);
  }

  ping(data = ""): void {
    if (this.readyState === 1) this.conn?.up.put("ping", data);
  }

  close(code = 1000, reason = ""): void {
    if (this.readyState > 1) return;
    if (this.readyState === 0) this.conn?.up.put("end");
    else this.conn?.up.put("close", reason, code);
    this.readyState = 2;
  }

  /** The process is gone: it gets no events any more, and the operating system resets the connection. */
  vanish(): void {
    if (this.readyState < 3) this.conn?.up.put("end");
    this.readyState = 3;
  }

  fail(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    if (this.conn) this.conn.tap.clientClosed(this.conn, code, reason);
    this.onclose?.({ code, reason });
  }

  read(items: readonly Item[]): void {
    const conn = this.conn as Conn;
    let isFirstRead = false;
    for (const { kind, text, code } of items) {
      conn.server?.taken(text.length);
      if (kind === "accepted") {
        if (this.readyState !== 0) continue;
        isFirstRead = true;
        this.readyState = 1;
        this.protocol = text;
        this.onopen?.();
      } else if (kind === "text") {
        if (this.readyState !== 1) continue;
        if (isFirstRead && conn.dial.losesEarly) {
          conn.tap.lostEarly(conn, text);
          continue;
        }
        conn.tap.clientGot(conn, text);
        this.onmessage?.({ data: text });
      } else if (kind === "ping") {
        if (this.readyState < 3) conn.up.put("pong", text);
      } else if (kind === "close") {
        conn.up.isDead = true;
        this.fail(code, text);
      } else if (kind === "end" || kind === "refused") {
        conn.up.isDead = true;
        this.fail(1006, "");
      }
      drainMicrotasks();
    }
  }
}

/** The server's end. Behaves as Bun 1.4.5 was observed to. */
export class ServerSocket {
  readyState = 1;
  paused = false;
  pausedAt = 0;
  /** Texts published in this turn. They are sent at the end of the turn, or before the next `send`. */
  private published: string[] = [];
  private publishedBytes = 0;
  /** Bytes in the network that the client has not read yet. */
  private inFlight = 0;
  /** Items that did not fit into the network. */
  private readonly unsent: { readonly kind: ItemKind; readonly text: string; code: number }[] = [];
  private unsentBytes = 0;
  private isWakeUpPlanned = false;
  private readonly topics = new Set<string>();

  constructor(
    readonly conn: Conn,
    readonly data: PeerSocket,
    private readonly host: FakeServer,
    /** How many bytes the network holds in this direction. */
    private readonly window: number,
  ) {}

  get bun(): ServerWebSocket<PeerSocket> {
    return this as unknown as ServerWebSocket<PeerSocket>;
  }

  getBufferedAmount(): number {
    return this.unsentBytes;
  }

  send(text: string): number {
    if (this.readyState !== 1) return 0;
    this.flush();
    if (this.unsentBytes > this.host.backpressureLimit) return this.drop();
    this.conn.tap.serverSent(this.conn, text);
    const wasBehind = this.isBehind;
    this.write("text", text);
    return wasBehind || this.isBehind ? -1 : text.length;
  }

  /** Used by `Server.publish`. It checks the buffer without the texts published in this turn. */
  publish(text: string): number {
    if (this.unsentBytes > this.host.backpressureLimit) return this.drop();
    this.conn.tap.serverSent(this.conn, text);
    if (this.published.length === 0) this.conn.time.atEndOfTurn(() => this.flush());
    this.published.push(text);
    this.publishedBytes += text.length;
    const answer = this.isBehind ? -1 : text.length;
    if (this.publishedBytes > 65_536) this.flush();
    return answer;
  }

  private get isBehind(): boolean {
    return this.unsentBytes > 0;
  }

  private drop(): number {
    this.conn.tap.serverDropped(this.conn);
    return 0;
  }

  flush(): void {
    if (this.published.length === 0) return;
    const texts = this.published;
    this.published = [];
    this.publishedBytes = 0;
    for (const text of texts) this.write("text", text);
  }

  /** Nothing to do: everything sent in one ms is one segment anyway. */
  cork(run: () => void): void {
    run();
  }

  ping(data = ""): number {
    if (this.readyState !== 1) return 0;
    this.flush();
    this.write("ping", String(data));
    return 1;
  }

  write(kind: ItemKind, text = "", code = 0): void {
    if (this.isBehind || this.inFlight > this.window) {
      this.unsent.push({ kind, text, code });
      this.unsentBytes += text.length + 4;
      return;
    }
    this.inFlight += text.length;
    this.conn.down.put(kind, text, code);
  }

  /** The client has read this many bytes, so the network has room again. */
  taken(bytes: number): void {
    this.inFlight -= bytes;
    if (!this.isBehind || this.isWakeUpPlanned) return;
    this.isWakeUpPlanned = true;
    this.conn.time.after(2, () => this.wakeUp(), this.conn.host.process);
  }

  private wakeUp(): void {
    this.isWakeUpPlanned = false;
    let moved = 0;
    while (moved < this.unsent.length && this.inFlight <= this.window) {
      const item = this.unsent[moved++] as (typeof this.unsent)[number];
      this.unsentBytes -= item.text.length + 4;
      this.inFlight += item.text.length;
      this.conn.down.put(item.kind, item.text, item.code);
    }
    this.unsent.splice(0, moved);
    if (moved > 0 && this.readyState === 1) this.host.handler.drain?.(this.bun);
  }

  subscribe(topic: string): void {
    if (this.readyState !== 1 || this.topics.has(topic)) return;
    this.topics.add(topic);
    this.host.subscribe(topic, this, true);
  }

  unsubscribe(topic: string): void {
    if (this.topics.delete(topic)) this.host.subscribe(topic, this, false);
  }

  isSubscribed(topic: string): boolean {
    return this.topics.has(topic);
  }

  pause(): void {
    if (this.readyState !== 1) return;
    if (!this.paused) this.pausedAt = this.conn.time.now;
    this.paused = true;
    this.conn.up.block(true);
  }

  resume(): void {
    this.paused = false;
    this.conn.up.block(false);
  }

  close(code = 1000, reason = ""): void {
    if (this.readyState !== 1) return;
    this.flush();
    this.write("close", reason, code);
    this.ended(code, reason);
  }

  terminate(): void {
    if (this.readyState !== 1) return;
    this.conn.tap.serverCuts(this.conn);
    this.conn.down.cut();
    this.ended(1006, "");
  }

  /** Like the runtime, calls `close` in the same turn. */
  ended(code: number, reason: string): void {
    if (this.readyState !== 1) return;
    this.readyState = 3;
    this.published = [];
    this.conn.closedAt = this.conn.time.now;
    for (const topic of [...this.topics]) this.unsubscribe(topic);
    this.resume();
    this.conn.tap.serverClosed(this.conn, code, reason);
    this.host.handler.close?.(this.bun, code, reason);
    this.host.conns.delete(this.conn);
  }
}

const handshake = {
  host: "sim",
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

interface Upgrading {
  readonly data: PeerSocket;
  readonly headers?: Record<string, string>;
}

/** Bun's `Server` of one node. */
export class FakeServer {
  readonly conns = new Set<Conn>();
  pendingRequests = 0;
  /** How many of them are upgrades. */
  pendingUpgrades = 0;
  readonly topics = new Map<string, Set<ServerSocket>>();
  private readonly asking = new WeakMap<Request, Conn>();
  private readonly addresses = new WeakMap<Request, string>();
  handler!: WebSocketHandler<PeerSocket>;
  private answer!: Parts["answer"];
  backpressureLimit = 0;

  serve(parts: Parts): void {
    this.handler = parts.sockets.handler;
    this.answer = parts.answer;
    this.backpressureLimit = this.handler.backpressureLimit ?? 0;
  }

  get bun(): Server<PeerSocket> {
    return this as unknown as Server<PeerSocket>;
  }

  requestIP(request: Request): { address: string } | null {
    const address = this.addresses.get(request);
    return address === undefined ? null : { address };
  }

  /** For keep-alive connections, which the model does not have. */
  timeout(): void {}

  publish(topic: string, text: string): number {
    let answer = 0;
    for (const socket of this.topics.get(topic) ?? []) answer = socket.publish(text);
    return answer;
  }

  subscribe(topic: string, socket: ServerSocket, isOn: boolean): void {
    const members = this.topics.get(topic) ?? new Set();
    if (isOn) members.add(socket);
    else members.delete(socket);
    if (members.size > 0) this.topics.set(topic, members);
    else this.topics.delete(topic);
    socket.conn.tap.subscribed(socket.conn, topic, isOn);
  }

  upgrade(request: Request, { data, headers }: Upgrading): boolean {
    const conn = this.asking.get(request);
    if (conn === undefined || conn.hasGone) return false;
    this.asking.delete(request);
    const window = 4_096 << conn.draws.below(5);
    const socket = new ServerSocket(conn, data, this, window);
    conn.server = socket;
    conn.openedAt = conn.time.now;
    const protocol = headers?.["Sec-WebSocket-Protocol"] ?? "";
    conn.down.put("accepted", protocol);
    socket.taken(-protocol.length);
    conn.tap.opened(conn);
    this.handler.open?.(socket.bun);
    return true;
  }

  /** Answers an HTTP request. */
  async fetch(request: Request, address: string): Promise<Response | undefined> {
    this.addresses.set(request, address);
    this.pendingRequests++;
    try {
      return await this.answer(request, this.bun);
    } finally {
      this.pendingRequests--;
    }
  }

  read(conn: Conn, items: readonly Item[]): void {
    for (const { kind, text, code } of items) {
      if (kind === "request") this.asked(conn);
      else if (conn.server?.readyState === 1) this.readOne(conn, conn.server, kind, text, code);
      else if (kind === "end" && conn.server === undefined) {
        conn.hasGone = true;
        this.conns.delete(conn);
      }
      drainMicrotasks();
    }
  }

  private readOne(conn: Conn, ws: ServerSocket, kind: ItemKind, text: string, code: number): void {
    const { handler } = this;
    switch (kind) {
      case "text":
        if (text.length > (handler.maxPayloadLength ?? 0)) {
          ws.write("close", "", 1009);
          return ws.ended(1006, "Received too big message");
        }
        conn.tap.serverRead(conn, text);
        return this.guarded(ws, () => handler.message?.(ws.bun, text));
      case "ping":
        ws.write("pong", text);
        return this.guarded(ws, () => handler.ping?.(ws.bun, Buffer.from(text)));
      case "pong":
        return this.guarded(ws, () => handler.pong?.(ws.bun, Buffer.from(text)));
      case "close":
        ws.write("close", text, code);
        return ws.ended(code, text);
      default:
        return ws.ended(1006, "");
    }
  }

  private guarded(ws: ServerSocket, run: () => unknown): void {
    try {
      run();
    } catch (error) {
      (this.handler as { error?: (error: unknown, ws: unknown) => void }).error?.(error, ws.bun);
    }
  }

  private asked(conn: Conn): void {
    conn.askedAt = conn.time.now;
    const { url, protocol, headers } = conn.dial;
    const offers = protocol === "" ? {} : { "sec-websocket-protocol": protocol };
    const request = new Request(url.replace(/^ws/, "http"), {
      headers: { ...handshake, ...offers, ...headers },
    });
    this.asking.set(request, conn);
    this.pendingUpgrades++;
    void this.fetch(request, conn.address).then((response) => {
      this.pendingUpgrades--;
      if (response === undefined) return;
      conn.tap.refused(conn, response.status);
      conn.down.put("refused", "", response.status);
      this.conns.delete(conn);
    });
  }

  /** The process is gone. `isToldToClients`: its machine still resets the connections. */
  crash(isToldToClients: boolean): void {
    for (const conn of this.conns) {
      conn.closedAt = conn.time.now;
      if (conn.server) conn.server.readyState = 3;
      if (isToldToClients) conn.cutAt("client");
      else conn.loseNetwork();
      conn.tap.serverClosed(conn, 1006, "");
    }
    this.conns.clear();
    this.topics.clear();
  }
}

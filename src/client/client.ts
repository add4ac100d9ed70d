/**
 * A client of this server in one file without dependencies: copy it, or install `nt-signal-client`.
 *
 *     const client = new SignalingClient({
 *       url: "https://signal.example.com",
 *       on: { relay: (frame) => negotiate(frame), mail: (payload) => show(payload) },
 *     });
 *     const { code } = await client.mint();          // or, on the other side: await client.redeem(code)
 *     client.relay({ type: "offer", sdp });
 *     await client.send("stored until the other side has it");
 *
 * Everything goes over one WebSocket, which speaks `nt.v2` and is opened again when it breaks. Open
 * the client early, for example while the code is being typed: then redeeming is one round trip.
 * Mail arrives in order and once as long as the server remembers the room. Relayed frames are lost
 * when a socket breaks unnoticed: negotiate again when they lead to no peer connection.
 */

export type Side = "A" | "B";

/** As RTCIceCandidateInit. */
export interface IceCandidate {
  readonly candidate?: string;
  readonly sdpMid?: string | null;
  readonly sdpMLineIndex?: number | null;
  readonly usernameFragment?: string | null;
}

/** What the other side sent. The server relays it as it came: fields beside these are the peers' own. */
export type RelayFrame =
  | { readonly type: "offer" | "answer"; readonly sdp: string; readonly [field: string]: unknown }
  | {
      readonly type: "ice";
      readonly candidate: IceCandidate | null;
      readonly [field: string]: unknown;
    }
  | { readonly type: "sender_ready"; readonly [field: string]: unknown };

/** What can be sent: a frame, or `localDescription`, which is null until it is set. */
export type Relayable =
  | { readonly type: RelayFrame["type"]; readonly [field: string]: unknown }
  | { readonly type: "offer" | "answer" | "pranswer" | "rollback"; readonly sdp?: string }
  | null;

/** As RTCPeerConnection takes it. */
export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

export interface Welcome {
  readonly side: Side;
  /** The other side is there. */
  readonly peer: boolean;
  readonly heartbeatMs: number;
  readonly maxMessageBytes: number;
  /** What the server's log calls the room; missing unless it logs rooms. */
  readonly room?: string;
  readonly iceServers?: IceServer[];
}

/** Why a frame was not used. */
export interface Fault {
  readonly code:
    | "bad_json"
    | "bad_field"
    | "unknown_type"
    | "mailbox_full"
    | "mail_share"
    | "hold_share"
    | "peer_absent"
    | "has_room"
    | "no_room"
    | ProblemCode;
  readonly detail: string;
  /** Of the mail that is meant. */
  readonly id?: string;
  readonly retryAfterMs?: number;
}

/** Why there is no code or room: the same on a socket and over HTTP. */
export type ProblemCode =
  | "client_full"
  | "code_gone"
  | "code_withdrawn"
  | "codes_full"
  | "draining"
  | "internal"
  | "malformed"
  | "rate_limited"
  | "rooms_full"
  | "shared_misses"
  | "store_unreachable"
  | "too_many_misses"
  | "too_many_rooms";

/**
 * `open`: connected, without a room. `online`: seated in a room. `retrying`: comes back by itself.
 * The others are ends: `replaced` by another client with this `sid`; `busy`: another client has this
 * side and is alive; `invalid`: the server will never accept what was asked for; `refused`: the
 * server rejected a message; `closed` here.
 */
export type ClientState =
  | "connecting"
  | "open"
  | "online"
  | "retrying"
  | "replaced"
  | "busy"
  | "invalid"
  | "refused"
  | "closed";

/** Why the state changed. */
export interface Reason {
  /** A WebSocket close code (1006: no close frame), the code of an `error`, `silent` or `closed`. */
  readonly code: number | string;
  readonly detail: string;
  /** The client tries again by itself. */
  readonly retries: boolean;
}

/** The client has ended before this was done. */
export class ClientEnded extends Error {
  readonly state: ClientState;
  readonly reason: Reason;

  constructor(state: ClientState, reason: Reason) {
    super(`The client has ended: ${reason.detail}`);
    this.state = state;
    this.reason = reason;
  }
}

/** A mail that can never be stored: the `code` of the server's error, or `too_large`. */
export class MailError extends Error {
  readonly code: string;

  constructor(code: string, detail: string) {
    super(detail);
    this.code = code;
  }
}

export interface ClientEvents {
  /** `why` when a connection was lost or the client has ended. */
  state(state: ClientState, why?: Reason): void;
  welcome(welcome: Welcome): void;
  /** Also when it has only changed its socket. */
  peerJoined(): void;
  peerLeft(): void;
  relay(frame: RelayFrame): void;
  mail(payload: unknown, seq: number): void;
  error(fault: Fault): void;
}

/** The part of a WebSocket that is used: those of browsers, Node, Bun and `ws` have it. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(text: string): void;
  close(): void;
  /** Only outside of browsers. */
  terminate?(): void;
}

export interface ClientOptions {
  /** `http(s)://host[/base]` */
  readonly url: string;
  /** The room to join, together with `side`. Without them `mint` or `redeem` finds one. */
  readonly appId?: string | null | undefined;
  readonly side?: Side | undefined;
  readonly on?: Partial<ClientEvents>;
  /** Identifies this client when it comes back: keep it over a reload. A new one unless given. */
  readonly sid?: string | null | undefined;
  /** The last mail processed before a reload: what `deliveredUpTo` was. */
  readonly deliveredUpTo?: number | undefined;
  readonly minRetryMs?: number;
  readonly maxRetryMs?: number;
  /** How long connecting, or the answer to a code, a mail or a ping may take: 10 s unless given. */
  readonly answerMs?: number;
  /** How long getting a seat may take: 20 s unless given. The server holds a busy one up to 15 s. */
  readonly seatMs?: number;
  /** After how long without a frame from the server it is pinged: 20 s unless given. */
  readonly pingMs?: number;
  /** The runtime's own unless given. In Node 20, which has none, pass that of `ws`. */
  readonly WebSocket?: new (
    url: string,
    protocol: string,
  ) => Socket;
}

/** Every frame that a client of `nt.v2` with a `sid` gets. */
export type ServerFrame =
  | RelayFrame
  | ({ readonly type: "welcome" } & Welcome)
  | { readonly type: "peer_joined"; readonly iceServers?: IceServer[] }
  | { readonly type: "peer_left" | "room_full" | "pong" }
  | ({ readonly type: "minted" } & Entered & { readonly code: string })
  | ({ readonly type: "redeemed" } & Entered)
  | {
      readonly type: "deliver";
      readonly seq: number;
      readonly from: Side;
      readonly payload: unknown;
    }
  | { readonly type: "stored"; readonly id: string; readonly seq: number }
  | ({ readonly type: "error" } & Fault)
  | { readonly type: "draining"; readonly retryAfterMs: number };

interface Entered {
  readonly appID: string;
  readonly side: Side;
  readonly expiresAt: string;
  /** The server's clock. */
  readonly now: string;
}

interface Settle<T> {
  resolve(value: T): void;
  reject(why: Error): void;
}

interface Mail extends Settle<number> {
  readonly id: string;
  readonly payload: unknown;
}

/** A code that is being made or redeemed. */
interface Request extends Settle<Minted> {
  readonly frame: object;
}

const maxQueuedFrames = 128;
const maxQueuedMails = 10_000;
const mailboxFullRetryMs = 1_000;
/** How long `check` waits for a sign of life. */
const checkMs = 3_000;
/** How long a closing handshake may take. */
const closingMs = 1_000;
/** How long a call over HTTP may take. */
const callMs = 10_000;
/** Close codes that reject a message of this client: trying again would repeat it. */
const ownFault = [1002, 1003, 1007, 1009];
const openState = 1;

export class SignalingClient {
  readonly sid: string;
  /** May be replaced at any time. */
  on: Partial<ClientEvents>;
  state: ClientState = "connecting";
  /** The room; undefined until it is known. */
  appId: string | undefined;
  side: Side | undefined;
  /** For RTCPeerConnection, as of the last welcome or arrival of the other side. */
  iceServers: IceServer[] = [];
  /** The seq of the last mail processed. */
  deliveredUpTo: number;
  /** This device's clock less the server's, ms. */
  private clockAheadMs = 0;
  private ended: ClientEnded | undefined;
  private socket: Socket | undefined;
  private request: Request | undefined;
  private tries = 0;
  private retryNotBeforeMs = 0;
  private maxMessageBytes = Number.POSITIVE_INFINITY;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pingTimer: ReturnType<typeof setTimeout> | undefined;
  /** A frame has come since `pingTimer` was set. */
  private heard = false;
  private readonly frames: string[] = [];
  private readonly mails: Mail[] = [];
  private readonly options: ClientOptions;
  private readonly answerMs: number;

  constructor(options: ClientOptions) {
    this.options = options;
    this.answerMs = options.answerMs ?? 10_000;
    this.on = options.on ?? {};
    this.sid = options.sid ?? newId();
    this.deliveredUpTo = options.deliveredUpTo ?? 0;
    this.appId = options.appId ?? undefined;
    this.side = options.side;
    this.connect();
  }

  /**
   * Makes a room and the code by which the other side finds it; this client is side A of it. Rejects
   * with a `RendezvousError` when the server refuses or is `unreachable`: it may be tried again.
   */
  mint(ttlSeconds?: number): Promise<Minted> {
    return this.ask({ type: "mint", ...(ttlSeconds !== undefined && { ttl: ttlSeconds }) });
  }

  /**
   * Finds the room of a code; this client is side B of it. Rejects with a `RendezvousError`:
   * `code_gone` for a code that was used, has expired or never existed. Another code may be tried.
   */
  redeem(code: string): Promise<Redeemed> {
    return this.ask({ type: "redeem", code: withoutBlanks(code) });
  }

  /** ms since the epoch by the server's clock, as far as it is known; compare `expiresAt` with it. */
  serverNow(): number {
    return Date.now() - this.clockAheadMs;
  }

  /**
   * Sends an offer, answer or candidate to the other side, now or when there is a seat to send it
   * from. False when it cannot be sent: the client has ended, too much waits, the frame is too large,
   * or a description is missing. An offer starts a new negotiation: frames that wait are dropped.
   */
  relay(frame: Relayable): boolean {
    if (frame === null || this.ended) return false;
    const text = JSON.stringify(frame);
    if (this.state === "online") return this.transmit(text);
    if (frame.type === "offer") this.frames.length = 0;
    return this.frames.length < maxQueuedFrames && this.frames.push(text) > 0;
  }

  /**
   * Sends mail to the other side: kept here until the server has stored it, there until the other
   * side has processed it. Resolves with its seq; rejects with a `MailError` when it can never be
   * stored, with `ClientEnded` when the client ends before it is.
   *
   * One mail is on its way at a time: the next must not overtake one that is refused because the
   * mailbox is full. Its id makes sending it twice harmless.
   */
  send(payload: unknown): Promise<number> {
    if (this.ended) return Promise.reject(this.ended);
    if (this.mails.length >= maxQueuedMails) {
      return Promise.reject(new MailError("queue_full", "Too much mail waits to be sent."));
    }
    return new Promise((resolve, reject) => {
      this.mails.push({ id: newId(), payload, resolve, reject });
      if (this.mails.length === 1) this.sendMail();
    });
  }

  /**
   * Reports to the server's metrics whether the peers are connected, and by which `mode` (`direct` or
   * `relay`). Lost when there is no seat.
   */
  report(event: "ice-connected" | "ice-failed", details: { mode?: string; reason?: string }): void {
    if (this.state === "online") this.transmitFrame({ type: "telemetry", event, ...details });
  }

  /** Opens a new socket at once, for example when the browser is `online` again. */
  reconnect(): void {
    if (!this.ended) this.connect();
  }

  /** Asks the server for a sign of life now, for example when the peer connection is lost. */
  check(): void {
    if (this.state === "open" || this.state === "online") this.pingIfSilent(0, checkMs);
  }

  /** `lastMail` is sent at once, ahead of mail that waits; without a connection it is lost. */
  close(lastMail?: unknown): void {
    if (lastMail !== undefined && this.appId !== undefined) this.transmitMail(newId(), lastMail);
    this.end("closed", "closed", "It was closed.");
  }

  // ---- one socket after the other ----

  private connect(): void {
    this.dropSocket();
    const { url } = this.options;
    const Socket = this.options.WebSocket ?? (globalThis.WebSocket as ClientOptions["WebSocket"]);
    if (Socket === undefined) {
      throw new Error("This runtime has no WebSocket. Pass one, such as that of the package ws.");
    }
    const socket = new Socket(`${withoutSlash(url).replace(/^http/, "ws")}/ws`, "nt.v2");
    this.socket = socket;
    this.enter("connecting");
    this.giveUpIn(this.answerMs);
    socket.onopen = () => this.openedSocket();
    socket.onmessage = ({ data }: { data: unknown }) =>
      this.received(JSON.parse(String(data)) as ServerFrame);
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.lost(code, reason);
    // Node 22 reports a refused connection by an error alone, and `ws` throws an error without listener.
    socket.onerror = () =>
      setTimeout(() => {
        if (this.socket === socket) this.lost(1006, "");
      });
  }

  private openedSocket(): void {
    clearTimeout(this.timer);
    this.enter("open");
    this.pingIfSilent();
    if (this.appId !== undefined) {
      this.enterRoom({ type: "join", appID: this.appId, side: this.side });
    } else if (this.request) this.enterRoom(this.request.frame);
  }

  /** The hello for the new seat is sent in the same flight. */
  private enterRoom(frame: object): void {
    this.giveUpIn(this.options.seatMs ?? 20_000);
    this.transmitFrame({ ...frame, sid: this.sid });
    this.transmitFrame({ type: "hello", deliveredUpTo: this.deliveredUpTo });
  }

  private lost(code: number, detail: string): void {
    if (code === 1000 && detail === "replaced") return this.end("replaced", code, detail);
    if (code === 1008 && detail.endsWith("busy")) return this.end("busy", code, detail);
    if (ownFault.includes(code)) return this.end("refused", code, detail);
    this.retry(code, detail || "The connection broke.", code === 1008);
  }

  private retry(code: number | string, detail: string, slowly = false): void {
    this.dropSocket();
    // Its caller decides whether to ask again.
    this.request?.reject(new RendezvousError("unreachable", "The server cannot be reached."));
    this.request = undefined;
    const { minRetryMs = 100, maxRetryMs = 5_000 } = this.options;
    const delayMs = slowly ? maxRetryMs : Math.min(maxRetryMs, minRetryMs * 2 ** this.tries++);
    const jittered = Math.max(this.retryNotBeforeMs, delayMs * (0.5 + Math.random() / 2));
    this.retryNotBeforeMs = 0;
    this.timer = setTimeout(() => this.connect(), jittered);
    this.enter("retrying", { code, detail, retries: true });
  }

  /**
   * A lost network reports nothing, and a web page does not see the protocol's own pings. So
   * everything that must be answered has a deadline.
   */
  private giveUpIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.retry("silent", "The server does not answer."), ms);
  }

  /** A client that only listens pings from time to time; any frame counts as the answer. */
  private pingIfSilent(pingMs = this.options.pingMs ?? 20_000, answerMs = this.answerMs): void {
    clearTimeout(this.pingTimer);
    this.heard = false;
    this.pingTimer = setTimeout(() => {
      if (this.heard) return this.pingIfSilent();
      this.transmitFrame({ type: "ping" });
      this.pingTimer = setTimeout(() => {
        if (this.heard) this.pingIfSilent();
        else this.retry("silent", "The server does not answer.");
      }, answerMs);
    }, pingMs);
  }

  /** Does not wait for the close, which may take long on a dead network. */
  private dropSocket(): void {
    clearTimeout(this.timer);
    clearTimeout(this.pingTimer);
    const { socket } = this;
    this.socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    socket.close();
    // Otherwise `ws` and Bun keep the process for 30 s when the network is lost.
    const cut = setTimeout(() => socket.terminate?.(), closingMs) as { unref?(): void };
    cut.unref?.();
  }

  private end(state: ClientState, code: number | string, detail: string): void {
    if (this.ended) return;
    this.dropSocket();
    const reason = { code, detail, retries: false };
    const ended = new ClientEnded(state, reason);
    this.ended = ended;
    this.frames.length = 0;
    for (const { reject } of this.mails.splice(0)) reject(ended);
    this.request?.reject(ended);
    this.enter(state, reason);
  }

  private enter(state: ClientState, why?: Reason): void {
    if (state === this.state) return;
    this.state = state;
    this.on.state?.(state, why);
  }

  // ---- frames ----

  private transmitFrame(frame: object): boolean {
    return this.transmit(JSON.stringify(frame));
  }

  /** False when it is larger than the server takes: that would end the connection. */
  private transmit(text: string): boolean {
    if (bytesOf(text) > this.maxMessageBytes) return false;
    if (this.socket?.readyState === openState) this.socket.send(text);
    return true;
  }

  private received(frame: ServerFrame): void {
    const { on } = this;
    this.heard = true;
    switch (frame.type) {
      case "minted":
      case "redeemed":
        return this.entered(frame);
      case "welcome":
        return this.welcomed(frame);
      case "peer_joined":
        if (frame.iceServers) this.iceServers = frame.iceServers;
        return on.peerJoined?.();
      case "peer_left":
        return on.peerLeft?.();
      case "offer":
      case "answer":
      case "ice":
      case "sender_ready":
        return on.relay?.(frame);
      case "deliver":
        return this.delivered(frame.seq, frame.payload);
      case "stored":
        return this.answered(frame.id, (mail) => mail.resolve(frame.seq));
      case "error":
        return this.faulted(frame);
      case "draining":
        this.retryNotBeforeMs = frame.retryAfterMs;
        return;
      case "room_full":
      case "pong":
        return;
      default:
        // Of a server that is newer than this client.
        frame satisfies never;
    }
  }

  private ask(frame: object): Promise<Minted> {
    if (this.ended) return Promise.reject(this.ended);
    if (this.request || this.appId !== undefined) {
      return Promise.reject(new RendezvousError("has_room", "This client has a room already."));
    }
    return new Promise((resolve, reject) => {
      this.request = { frame, resolve, reject };
      if (this.state === "open") this.enterRoom(frame);
    });
  }

  private entered({ appID, side, expiresAt, now, ...rest }: Entered & { code?: string }): void {
    const { request } = this;
    this.request = undefined;
    this.appId = appID;
    this.side = side;
    const { code = "" } = rest;
    const answeredAt = Date.parse(now);
    this.clockAheadMs = Date.now() - answeredAt;
    request?.resolve({ code, appID, expiresAt, answeredAt });
  }

  private welcomed(welcome: Welcome): void {
    clearTimeout(this.timer);
    this.tries = 0;
    this.maxMessageBytes = welcome.maxMessageBytes;
    if (welcome.iceServers) this.iceServers = welcome.iceServers;
    this.enter("online");
    for (const text of this.frames.splice(0)) this.transmit(text);
    this.sendMail();
    this.on.welcome?.(welcome);
  }

  private sendMail(): void {
    const [mail] = this.mails;
    if (mail === undefined || this.state !== "online") return;
    const { id, payload } = mail;
    this.giveUpIn(this.answerMs);
    if (this.transmitMail(id, payload)) return;
    const most = `The server takes ${this.maxMessageBytes} bytes at most.`;
    this.answered(id, ({ reject }) => reject(new MailError("too_large", most)));
  }

  private transmitMail(id: string, payload: unknown): boolean {
    return this.transmitFrame({ type: "send", to: this.side === "A" ? "B" : "A", id, payload });
  }

  /** The mail on its way is done; the next one follows. */
  private answered(id: string, settle: (mail: Mail) => void): void {
    const [mail] = this.mails;
    if (mail?.id !== id) return;
    clearTimeout(this.timer);
    this.mails.shift();
    settle(mail);
    this.sendMail();
  }

  private faulted({ type: _, ...fault }: Fault & { type: "error" }): void {
    const { code, detail, id } = fault;
    if (this.state === "open") return this.refusedRoom(fault);
    if (id !== undefined && (code === "mailbox_full" || code === "mail_share")) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.sendMail(), mailboxFullRetryMs);
    } else if (id !== undefined) {
      this.answered(id, ({ reject }) => reject(new MailError(code, detail)));
    }
    this.on.error?.(fault);
  }

  /** Refused before there is a room. The caller may try another code; a join may be tried again. */
  private refusedRoom({ code, detail, retryAfterMs }: Fault): void {
    // The answer to the hello that followed the request, or to a ping.
    if (code === "no_room") return;
    clearTimeout(this.timer);
    const { request } = this;
    if (request) {
      this.request = undefined;
      request.reject(new RendezvousError(code as ProblemCode, detail, retryAfterMs));
    } else if (retryAfterMs !== undefined) {
      this.retryNotBeforeMs = retryAfterMs;
      this.retry(code, detail);
    } else this.end("invalid", code, detail);
  }

  /** Mail that comes again is known by its seq, and only acknowledged. */
  private delivered(seq: number, payload: unknown): void {
    if (seq > this.deliveredUpTo) {
      this.on.mail?.(payload, seq);
      this.deliveredUpTo = seq;
    }
    this.transmitFrame({ type: "delivered", upTo: this.deliveredUpTo });
  }
}

// ---- codes, over HTTP ----

/** Why a call failed: the `code` of the server's problem, or `unreachable` when there was no answer. */
export class RendezvousError extends Error {
  readonly code: ProblemCode | "ice_refused" | "has_room" | "unreachable";
  readonly retryAfterMs: number | undefined;

  constructor(code: RendezvousError["code"], detail: string, retryAfterMs?: number) {
    super(detail);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Answered {
  /**
   * When the server answered, ms since the epoch by its clock; compare `expiresAt` with it. By this
   * device's clock if the answer has no readable Date.
   */
  readonly answeredAt: number;
}

export interface Redeemed extends Answered {
  readonly appID: string;
  readonly expiresAt: string;
}

export interface Minted extends Redeemed {
  readonly code: string;
}

/** Makes a room and the code by which the other side finds it. */
export function mint(url: string, ttlSeconds?: number): Promise<Minted> {
  return post(`${withoutSlash(url)}/rendezvous/code`, { ttl: ttlSeconds }) as Promise<Minted>;
}

/** Finds the room. A code works once: `code_gone` for one that was used, expired or never existed. */
export function redeem(url: string, code: string): Promise<Redeemed> {
  const body = { code: withoutBlanks(code) };
  return post(`${withoutSlash(url)}/rendezvous/redeem`, body) as Promise<Redeemed>;
}

/**
 * Fresh ICE servers for a side that is in its room, when the credentials of the last have expired.
 * `ice_refused` when the room's code was not redeemed, or they were asked for too often.
 */
export function iceServers(url: string, appId: string, side: Side): Promise<IceAnswer> {
  return post(`${withoutSlash(url)}/rendezvous/ice`, { appID: appId, side }) as Promise<IceAnswer>;
}

export interface IceAnswer extends Answered {
  readonly iceServers: IceServer[];
  /** When their credentials end; missing when they have none. */
  readonly expiresAt?: string;
}

async function post(url: string, body: object): Promise<Answered> {
  const headers = { "Content-Type": "application/json" };
  const call = { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(url, { ...call, signal: AbortSignal.timeout(callMs) }).catch(() => {});
  const content: unknown = await answer?.json().catch(() => {});
  if (answer?.ok && content) {
    const date = Date.parse(answer.headers.get("date") ?? "");
    const answeredAt = Number.isNaN(date) ? Date.now() : date;
    return { ...content, answeredAt };
  }
  // RFC 9457.
  const problem = content as { code?: ProblemCode; detail?: string } | undefined;
  const seconds = Number(answer?.headers.get("retry-after") ?? Number.NaN);
  throw new RendezvousError(
    problem?.code ?? "unreachable",
    problem?.detail ?? "The server cannot be reached.",
    ...(Number.isFinite(seconds) ? [seconds * 1000] : []),
  );
}

/** The code as it was typed or pasted: in groups, with blanks around it, in JavaScript as a number. */
function withoutBlanks(code: string): string {
  return String(code).replace(/\s/g, "");
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}

/** In UTF-8. */
function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** 128 random bits. Pages that came over plain HTTP have no `crypto.randomUUID`. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A complete client of this server in one file without dependencies: copy it, or learn from it.
 *
 *     const { code, appID } = await mint("https://signal.example.com");   // say the code aloud
 *     const client = new SignalingClient({
 *       url: "https://signal.example.com", appId: appID, side: "A",
 *       on: { relay: (frame) => negotiate(frame), mail: (payload) => show(payload) },
 *     });
 *     client.relay({ type: "offer", sdp });
 *     await client.send("stored until the other side has it");
 *
 * It speaks `nt.v2` and reconnects by itself. Mail arrives in order and once as long as the server
 * remembers the room. Relayed frames are lost where a socket breaks unseen: negotiate again when no
 * peer connection comes of them.
 */

export type Side = "A" | "B";

export interface RelayFrame {
  readonly type: "offer" | "answer" | "ice" | "sender_ready";
  readonly [field: string]: unknown;
}

export interface Welcome {
  readonly side: Side;
  /** The other side is there. */
  readonly peer: boolean;
  readonly heartbeatMs: number;
  readonly maxMessageBytes: number;
  /** What the server's log calls the room; missing unless it logs rooms. */
  readonly room?: string;
  /** For RTCPeerConnection. `iceServers` asks for fresh ones. */
  readonly iceServers?: readonly IceServer[];
}

/** As RTCPeerConnection takes it. */
export interface IceServer {
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

export interface Fault {
  readonly code:
    | "bad_json"
    | "bad_field"
    | "unknown_type"
    | "mailbox_full"
    | "mail_share"
    | "hold_share"
    | "peer_absent";
  readonly detail: string;
  /** Of the mail that is meant. */
  readonly id?: string;
}

/**
 * `online`: the seat is taken. `retrying`: comes back by itself. The others are ends: `replaced` by
 * another client with this `sid`; `refused`: the server found fault with a message; `closed` here.
 */
export type ClientState = "connecting" | "online" | "retrying" | "replaced" | "refused" | "closed";

export interface ClientEvents {
  state(state: ClientState): void;
  welcome(welcome: Welcome): void;
  /** Also when it has only changed its socket. */
  peerJoined(): void;
  peerLeft(): void;
  relay(frame: RelayFrame): void;
  mail(payload: unknown, seq: number): void;
  error(fault: Fault): void;
}

export interface ClientOptions {
  /** `http(s)://host[/base]` */
  readonly url: string;
  readonly appId: string;
  readonly side: Side;
  readonly on?: Partial<ClientEvents>;
  /** Who this client is when it comes back: one it kept from before a reload, or a new one. */
  readonly sid?: string;
  /** The last mail processed before a reload, as `deliveredUpTo` told it. */
  readonly deliveredUpTo?: number;
  readonly minRetryMs?: number;
  readonly maxRetryMs?: number;
  /** How long connecting, an answer to mail and one to a ping may take before the socket is given up. */
  readonly answerMs?: number;
  /** How long a seat may take: longer than the server lets wait for a busy one, 15 s. */
  readonly seatMs?: number;
  /** After how long without a word from the server it is pinged, 20 s unless given. */
  readonly pingMs?: number;
  readonly WebSocket?: new (url: string, protocol: string) => WebSocket;
}

/** Every frame that a client of `nt.v2` with a `sid` gets. */
export type ServerFrame =
  | RelayFrame
  | ({ readonly type: "welcome" } & Welcome)
  | { readonly type: "peer_joined" | "peer_left" | "room_full" | "pong" }
  | {
      readonly type: "deliver";
      readonly seq: number;
      readonly from: Side;
      readonly payload: unknown;
    }
  | { readonly type: "stored"; readonly id: string; readonly seq: number }
  | ({ readonly type: "error" } & Fault)
  | { readonly type: "draining"; readonly retryAfterMs: number };

export interface Telemetry {
  /** How the peers are connected: `direct` or `relay`. */
  readonly mode?: string;
  readonly reason?: string;
}

interface Mail {
  readonly id: string;
  readonly payload: unknown;
  stored(seq: number): void;
  refused(why: Error): void;
}

const maxQueuedFrames = 128;
const maxQueuedMails = 10_000;
const mailboxFullRetryMs = 1_000;
/** The other end says that a message of this client's is wrong: the next try would repeat it. */
const ownFault = [1002, 1003, 1007, 1009];

export class SignalingClient {
  readonly sid: string;
  state: ClientState = "connecting";
  /** The seq of the last mail processed. */
  deliveredUpTo: number;
  private socket: WebSocket | undefined;
  private tries = 0;
  private retryNotBeforeMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pingTimer: ReturnType<typeof setTimeout> | undefined;
  /** A frame has come since `pingTimer` was set. */
  private heard = false;
  private readonly frames: RelayFrame[] = [];
  private readonly mails: Mail[] = [];
  private readonly options: ClientOptions;

  constructor(options: ClientOptions) {
    this.options = options;
    this.sid = options.sid ?? newId();
    this.deliveredUpTo = options.deliveredUpTo ?? 0;
    this.connect();
  }

  /**
   * Sends an offer, answer or candidate to the other side, now or when there is a seat to send it
   * from. False when too many wait already. An offer begins anew: what waited before it is dropped.
   */
  relay(frame: RelayFrame): boolean {
    if (this.state === "online") return this.transmit(frame);
    if (frame.type === "offer") this.frames.length = 0;
    return this.frames.length < maxQueuedFrames && this.frames.push(frame) > 0;
  }

  /**
   * Sends mail to the other side: kept here until the server has stored it, there until the other
   * side has processed it. Resolves with its seq; rejects when it can never be stored.
   *
   * One mail is under way at a time. Were it several, one refused because the mailbox is full would
   * be overtaken by the next, for which there is room again. Its id makes sending it twice harmless.
   */
  send(payload: unknown): Promise<number> {
    if (this.mails.length >= maxQueuedMails)
      return Promise.reject(new Error("Too much mail waits"));
    return new Promise((stored, refused) => {
      this.mails.push({ id: newId(), payload, stored, refused });
      if (this.mails.length === 1) this.sendMail();
    });
  }

  /** Tells the server's metrics how the peer connection went. Lost when there is no seat. */
  report(event: "ice-connected" | "ice-failed", details: Telemetry = {}): void {
    if (this.state === "online") this.transmit({ type: "telemetry", event, ...details });
  }

  /** For those who know better that the network has changed: `addEventListener("online", …)`. */
  reconnect(): void {
    if (this.socket !== undefined || this.state === "retrying") this.connect();
  }

  close(): void {
    this.end("closed");
  }

  // ---- one socket after the other ----

  private connect(): void {
    this.dropSocket();
    const { url, appId, side, WebSocket: Socket = WebSocket, answerMs = 10_000 } = this.options;
    const query = new URLSearchParams({ appID: appId, side, sid: this.sid });
    const socket = new Socket(`${withoutSlash(url).replace(/^http/, "ws")}/ws?${query}`, "nt.v2");
    this.socket = socket;
    this.enter("connecting");
    this.giveUpIn(answerMs);
    socket.onopen = () => {
      this.giveUpIn(this.options.seatMs ?? 20_000);
      this.transmit({ type: "hello", deliveredUpTo: this.deliveredUpTo });
    };
    socket.onmessage = ({ data }) => this.received(JSON.parse(String(data)) as ServerFrame);
    socket.onclose = ({ code, reason }) => this.lost(code, reason);
  }

  private lost(code: number, reason: string): void {
    if (code === 1000 && reason === "replaced") return this.end("replaced");
    if (ownFault.includes(code)) return this.end("refused");
    this.retry(code === 1008);
  }

  private retry(slowly: boolean): void {
    this.dropSocket();
    const { minRetryMs = 100, maxRetryMs = 5_000 } = this.options;
    const delayMs = slowly ? maxRetryMs : Math.min(maxRetryMs, minRetryMs * 2 ** this.tries++);
    const jittered = Math.max(this.retryNotBeforeMs, delayMs * (0.5 + Math.random() / 2));
    this.retryNotBeforeMs = 0;
    this.timer = setTimeout(() => this.connect(), jittered);
    this.enter("retrying");
  }

  /**
   * A network that is gone says nothing, and the protocol's own pings are out of a web page's sight:
   * so, a deadline for everything that must be answered.
   */
  private giveUpIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.retry(false), ms);
  }

  /** A client that only listens asks now and then; any frame is as good an answer as the pong. */
  private pingIfSilent(): void {
    const { pingMs = 20_000, answerMs = 10_000 } = this.options;
    this.heard = false;
    this.pingTimer = setTimeout(() => {
      if (this.heard) return this.pingIfSilent();
      this.transmit({ type: "ping" });
      this.pingTimer = setTimeout(() => {
        if (this.heard) this.pingIfSilent();
        else this.retry(false);
      }, answerMs);
    }, pingMs);
  }

  /** Closing may take as long as the dead network likes: nobody waits for it. */
  private dropSocket(): void {
    clearTimeout(this.timer);
    clearTimeout(this.pingTimer);
    const { socket } = this;
    this.socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private end(state: ClientState): void {
    this.dropSocket();
    this.enter(state);
  }

  private enter(state: ClientState): void {
    if (state === this.state) return;
    this.state = state;
    this.options.on?.state?.(state);
  }

  // ---- frames ----

  private transmit(frame: object): true {
    this.socket?.send(JSON.stringify(frame));
    return true;
  }

  private received(frame: ServerFrame): void {
    const { on } = this.options;
    this.heard = true;
    switch (frame.type) {
      case "welcome":
        return this.welcomed(frame);
      case "peer_joined":
        return on?.peerJoined?.();
      case "peer_left":
        return on?.peerLeft?.();
      case "offer":
      case "answer":
      case "ice":
      case "sender_ready":
        return on?.relay?.(frame);
      case "deliver":
        return this.delivered(frame.seq, frame.payload);
      case "stored":
        return this.answered(frame.id, (mail) => mail.stored(frame.seq));
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

  private welcomed(welcome: Welcome): void {
    clearTimeout(this.timer);
    this.tries = 0;
    this.enter("online");
    this.pingIfSilent();
    for (const frame of this.frames.splice(0)) this.transmit(frame);
    this.sendMail();
    this.options.on?.welcome?.(welcome);
  }

  private sendMail(): void {
    const [mail] = this.mails;
    if (mail === undefined || this.state !== "online") return;
    const to = this.options.side === "A" ? "B" : "A";
    this.transmit({ type: "send", to, id: mail.id, payload: mail.payload });
    this.giveUpIn(this.options.answerMs ?? 10_000);
  }

  /** The mail under way is done with; the next one's turn. */
  private answered(id: string, settle: (mail: Mail) => void): void {
    const [mail] = this.mails;
    if (mail?.id !== id) return;
    clearTimeout(this.timer);
    this.mails.shift();
    settle(mail);
    this.sendMail();
  }

  private faulted({ code, detail, id }: Fault): void {
    if (id !== undefined && (code === "mailbox_full" || code === "mail_share")) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.sendMail(), mailboxFullRetryMs);
    } else if (id !== undefined) {
      this.answered(id, (mail) => mail.refused(new Error(detail)));
    }
    this.options.on?.error?.({ code, detail, ...(id !== undefined && { id }) });
  }

  /** What is told on the next `hello` as processed doesn't come again; what does is known by its seq. */
  private delivered(seq: number, payload: unknown): void {
    if (seq > this.deliveredUpTo) {
      this.options.on?.mail?.(payload, seq);
      this.deliveredUpTo = seq;
    }
    this.transmit({ type: "delivered", upTo: this.deliveredUpTo });
  }
}

// ---- codes ----

/** Why a call failed: the `code` of the server's problem, or `unreachable` when there was none. */
export class RendezvousError extends Error {
  readonly code: string;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, detail: string, retryAfterMs?: number) {
    super(detail);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What every call tells beside its answer. */
export interface Answered {
  /**
   * The server's clock when it answered, ms since the epoch, to the second: by that one `expiresAt`
   * is meant, whatever this device's says. This device's where the answer has no readable Date.
   */
  readonly answeredAt: number;
}

export interface Minted extends Answered {
  readonly code: string;
  readonly appID: string;
  readonly expiresAt: string;
}

/** Makes a room and the code by which the other side finds it. */
export function mint(url: string, ttlSeconds?: number): Promise<Minted> {
  return post(`${withoutSlash(url)}/rendezvous/code`, { ttl: ttlSeconds }) as Promise<Minted>;
}

/** Finds the room. A code works once: `code_gone` for one that was used, expired or never was. */
export function redeem(url: string, code: string): Promise<Omit<Minted, "code">> {
  return post(`${withoutSlash(url)}/rendezvous/redeem`, { code }) as Promise<Omit<Minted, "code">>;
}

/**
 * ICE servers for a side that is in its room, where a welcome could not tell of them yet: TURN is
 * given only once the code was redeemed. `ice_refused` when it was not, or asked for too often.
 */
export function iceServers(url: string, appId: string, side: Side): Promise<IceAnswer> {
  return post(`${withoutSlash(url)}/rendezvous/ice`, { appID: appId, side }) as Promise<IceAnswer>;
}

export interface IceAnswer extends Answered {
  readonly iceServers: readonly IceServer[];
  /** When the credentials in it end; missing where there are none. */
  readonly expiresAt?: string;
}

/** Why a call was refused (RFC 9457). */
interface Problem {
  readonly code: string;
  readonly detail: string;
}

async function post(url: string, body: object): Promise<Answered> {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) }).catch(
    () => undefined,
  );
  if (answer?.ok) {
    const told = Date.parse(answer.headers.get("date") ?? "");
    const answeredAt = Number.isNaN(told) ? Date.now() : told;
    return { ...((await answer.json()) as object), answeredAt };
  }
  const problem = (await answer?.json().catch(() => undefined)) as Partial<Problem> | undefined;
  const seconds = Number(answer?.headers.get("retry-after") ?? Number.NaN);
  throw new RendezvousError(
    problem?.code ?? "unreachable",
    problem?.detail ?? "The server cannot be reached.",
    ...(Number.isFinite(seconds) ? [seconds * 1000] : []),
  );
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}

/** 128 random bits. Pages that came over plain HTTP have no `crypto.randomUUID`. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

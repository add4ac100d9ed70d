/**
 * From a code to an RTCPeerConnection that stays: what every user of `SignalingClient` would write.
 *
 *     const peer = await connect({ url: "https://signal.example.com" });      // or with { code }
 *     show(peer.code);                                                        // for the other side
 *     const chat = peer.channel("chat");
 *     chat.onmessage = (data) => show(data);
 *     chat.onopen = () => chat.send("hello");
 *     const { why } = await peer.closed;                                      // "left", "busy", …
 *
 * Both sides use it. It negotiates when either side adds tracks, restarts ICE when the network
 * changes, gets TURN from the server, survives a restart of the server and a reload of the other
 * side, and says goodbye, so that the other side knows whether it left or was lost.
 */
import {
  type ClientOptions,
  type ClientState,
  type IceServer,
  iceServers,
  type Reason,
  type RelayFrame,
  type Side,
  SignalingClient,
} from "./client.ts";

export * from "./client.ts";

/**
 * `waiting` for the other side to come; `connecting`; `connected`: channels are open;
 * `reconnecting`: the connection was lost and is being made again; `closed`.
 */
export type PeerState = "waiting" | "connecting" | "connected" | "reconnecting" | "closed";

/** `left`: the other side said goodbye. `closed`: this side did. The others are the client's ends. */
export interface Closed {
  readonly why: "left" | "closed" | "replaced" | "busy" | "invalid" | "refused";
  readonly reason?: Reason;
}

export interface PeerEvents {
  state(state: PeerState): void;
  /**
   * A connection was made: the first, or one in place of a connection that is lost. Add tracks here,
   * and listen to `track` and `datachannel`.
   */
  connection(connection: RTCPeerConnection): void;
  /** How this side's connection to the server is. */
  server(state: ClientState): void;
  /** The other side came to the server, or lost it. The peer connection may go on. */
  present(isThere: boolean): void;
  /** What the other side sent by `send`. */
  mail(payload: unknown, seq: number): void;
  /** ICE found no path, or lost one. It tries again while the other side is there. */
  failed(connection: RTCPeerConnection): void;
}

export interface PeerOptions extends Omit<ClientOptions, "on"> {
  /** The other side's code. Without it, and without `appId`, a code is made. */
  readonly code?: string | null | undefined;
  /** How long a code that is made lives, in seconds. */
  readonly ttl?: number | undefined;
  readonly on?: Partial<PeerEvents>;
  /**
   * A client that was opened before the code was known: redeeming is one round trip then. Its events
   * go to the peer from now on. If the code is wrong it stays open for another one.
   */
  readonly client?: SignalingClient | undefined;
  /** Further configuration of RTCPeerConnection. ICE servers in it replace those of the server. */
  readonly rtc?: RTCConfiguration;
  /** Where there is no global RTCPeerConnection, as in Node. */
  readonly RTCPeerConnection?: new (
    configuration: RTCConfiguration,
  ) => RTCPeerConnection;
}

/** What peers add to the frames between them: all frames of one negotiation have its `session`. */
interface Signal {
  readonly session?: string | undefined;
  /** On `sender_ready`: the sender has left and does not come back. */
  readonly bye?: boolean;
}

/** What mail contains: a frame between the peers, or a value of the application. */
type Letter = { readonly signal: RelayFrame & Signal } | { readonly mail: unknown };

interface Candidate {
  readonly session: string;
  readonly candidate: RTCIceCandidateInit | null;
}

/** How long a lost path may take to come back by itself. */
const lostMs = 2_000;
/** How long side B waits for an offer in its mail before it asks for one. */
const mailMs = 150;
/** How often it asks. */
const askAgainMs = 4_000;
/** How long an answer, and then a connection, may take. */
const negotiationMs = 20_000;
const maxEarly = 64;
/** How long a connection without TURN may take once there is TURN. */
const withoutTurnMs = 1_500;
/** Between tries of a connection that fails. */
const againMs = 3_000;

/**
 * Makes a code, redeems one, or joins a room that is known (`appId`, `side`). Resolves as soon as
 * the room is known, before the other side is there. Rejects with a `RendezvousError` when there is
 * no room: `code_gone` for a wrong code.
 */
export async function connect(options: PeerOptions): Promise<Peer> {
  const { code, ttl, on: _, ...clientOptions } = options;
  if ((options.RTCPeerConnection ?? globalThis.RTCPeerConnection) === undefined) {
    throw new Error("This runtime has no RTCPeerConnection. Pass one, such as that of werift.");
  }
  const client = options.client ?? new SignalingClient(clientOptions);
  const peer = new Peer(client, options);
  try {
    if (code !== undefined && code !== null) await client.redeem(code);
    else if (client.appId === undefined) {
      const minted = await client.mint(ttl);
      peer.code = minted.code;
      peer.expiresAt = minted.expiresAt;
    }
    peer.watchNetwork();
    return peer;
  } catch (error) {
    if (options.client === undefined) client.close();
    throw error;
  }
}

export class Peer {
  /** For the other side; empty unless this side has made it. */
  code = "";
  /** When that code ends, by the server's clock (`client.serverNow`). */
  expiresAt = "";
  state: PeerState = "waiting";
  /** The current one. Undefined on side B until the other side has made its offer. */
  connection: RTCPeerConnection | undefined;
  private end: (closed: Closed) => void = () => {};
  /** Resolves once, when the peer has ended. */
  readonly closed = new Promise<Closed>((resolve) => {
    this.end = resolve;
  });
  readonly client: SignalingClient;
  private readonly options: PeerOptions;
  /** For the peers themselves. Always there, so that there is something to negotiate. */
  private readonly control = new Channel("", []);
  private readonly channels = new Map([["", this.control]]);
  private session = "";
  /** The session began with an offer in the mail: a later offer there may replace it. */
  private isFromMail = false;
  /** Candidates of a session whose offer is still on its way. */
  private earlyCandidates: Candidate[] = [];
  private isPeerThere = false;
  /** An offer is being made: the other side's has to wait (W3C WebRTC, section 10.7). */
  private makesOffer = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private reported = false;
  /** Frames are handled one after the other, though most of them wait for the browser. */
  private turn: Promise<void> = Promise.resolve();

  /** `connect` makes one. */
  constructor(client: SignalingClient, options: PeerOptions) {
    this.client = client;
    this.options = options;
    client.on = {
      state: (state, why) => {
        this.emit("server", state);
        if (why?.retries === false) this.finish(state as Closed["why"], why);
      },
      welcome: ({ peer }) => {
        if (peer) return;
        if (this.isPeerThere) this.peerLeft();
        if (this.side === "A") this.leaveOffer();
      },
      peerJoined: () => this.inTurn(() => this.peerJoined()),
      peerLeft: () => this.peerLeft(),
      relay: (frame) => this.inTurn(() => this.received(frame)),
      mail: (payload, seq) => this.readLetter(payload as Letter, seq),
    };
    this.control.onmessage = (data) => this.controlled(data);
    // The other page was closed. ICE would show it only after some seconds.
    this.control.onclose = () => this.state === "connected" && this.enter("reconnecting");
  }

  /** For `connect`, once there is a room. */
  watchNetwork(): void {
    if (this.state !== "closed") globalThis.addEventListener?.("online", this.online);
  }

  get side(): Side {
    return this.client.side ?? "A";
  }

  /** A data channel of this name; both sides ask for it. It opens again on a new connection. */
  channel(label: string): Channel {
    let channel = this.channels.get(label);
    if (channel === undefined) {
      channel = new Channel(label, [...this.channels.values()]);
      this.channels.set(label, channel);
      if (this.connection) channel.attach(this.connection);
    }
    return channel;
  }

  /** Mail: waits at the server until the other side has it, also while that is away. */
  send(payload: unknown): Promise<number> {
    return this.client.send({ mail: payload } satisfies Letter);
  }

  /** Makes both connections again. Call it when you know that the network has changed. */
  reconnect(): void {
    this.client.reconnect();
    const { connection } = this;
    if (connection === undefined || this.state === "closed") return;
    // The offer that waits in the mail may have addresses of the old network.
    if (this.state === "waiting") this.open(newSession());
    else void this.restart(connection);
  }

  /** Says goodbye and ends everything. The other side gets the goodbye even if it comes back later. */
  close(): void {
    // Over both connections: one of them may be broken.
    this.control.send("bye");
    this.client.close({ signal: { type: "sender_ready", bye: true } } satisfies Letter);
  }

  // ---- signals ----

  /** The other side has arrived, perhaps on a new socket, perhaps as a new page. */
  private peerJoined(): void {
    this.isPeerThere = true;
    this.emit("present", true);
    if (this.state === "waiting") this.enter("connecting");
    const { connection, side } = this;
    if (side === "A") return connection ? this.useTurn(connection) : this.open(newSession());
    // The offer may be in the mail that is on its way.
    if (connection === undefined) return this.askForOfferIn(mailMs);
    this.signal({ type: "sender_ready" });
    this.describeOffer(connection);
  }

  private askForOfferIn(ms: number): void {
    this.after(ms, () => {
      if (this.connection || !this.isPeerThere) return;
      this.signal({ type: "sender_ready" });
      this.askForOfferIn(askAgainMs);
    });
  }

  /** If only its socket broke, and its page did not crash, the control channel answers. */
  private peerLeft(): void {
    this.isPeerThere = false;
    this.emit("present", false);
    if (this.control.send("ping")) this.enter("reconnecting");
  }

  private controlled(data: unknown): void {
    if (data === "ping") this.control.send("pong");
    if (data === "bye") return this.finish("left");
    if (this.connection?.connectionState === "connected") this.enter("connected");
  }

  /** Side A's first offer waits as mail, so that the other side finds it on arrival. */
  private leaveOffer(): void {
    if (this.connection !== undefined || this.options.rtc?.iceTransportPolicy === "relay") return;
    this.open(newSession());
  }

  private readLetter(letter: Letter, seq: number): void {
    if ("signal" in letter) this.inTurn(() => this.received(letter.signal, true));
    else this.options.on?.mail?.(letter.mail, seq);
  }

  private async received(frame: RelayFrame, isMail = false): Promise<void> {
    const { session, bye } = frame as Signal;
    if (bye) return this.finish("left");
    if (frame.type === "sender_ready") return this.peerHas(session);
    if (session !== this.session && !this.follows(frame, session, isMail)) return;
    const { connection } = this;
    if (connection === undefined) return;
    if (frame.type === "ice") return this.candidate(connection, frame.candidate);
    await this.described(connection, frame);
  }

  /** Side A's offers name sessions. Frames of an earlier session are too late. */
  private follows(frame: RelayFrame, session = "", isMail: boolean): boolean {
    if (this.side === "A") {
      // Side B has read an old offer: it needs this one.
      if (frame.type === "answer") this.peerHas(session);
      return false;
    }
    if (frame.type === "ice" && this.earlyCandidates.length < maxEarly) {
      this.earlyCandidates.push({ session, candidate: frame.candidate });
    }
    // A relayed offer is newer than one in the mail.
    if (frame.type !== "offer" || (isMail && this.connection && !this.isFromMail)) return false;
    this.open(session);
    this.isFromMail = isMail;
    return true;
  }

  /** Side B has said which session it is in, as it does each time it arrives. */
  private peerHas(session: string | undefined): void {
    const { connection } = this;
    if (this.side === "B" || connection === undefined) return;
    // It has not read its mail yet, or what was sent to it is lost: repeat the offer.
    if (session === this.session || !connection.remoteDescription) this.describeOffer(connection);
    else return this.open(newSession());
    if (/disconnected|failed/.test(connection.connectionState)) connection.restartIce();
  }

  /** Perfect negotiation (W3C WebRTC, section 10.7): side B gives way. */
  private async described(
    connection: RTCPeerConnection,
    { type, sdp }: Extract<RelayFrame, { sdp: string }>,
  ): Promise<void> {
    const { remoteDescription, signalingState } = connection;
    const isRepeated = remoteDescription?.type === type && remoteDescription.sdp === sdp;
    if (isRepeated && signalingState === "stable") {
      if (type === "offer") this.describe(connection);
      return;
    }
    if (type === "answer" && signalingState !== "have-local-offer") return;
    const collides = type === "offer" && (this.makesOffer || signalingState !== "stable");
    if (collides && this.side === "A") return;
    await connection.setRemoteDescription({ type, sdp });
    for (const { session, candidate } of this.earlyCandidates.splice(0)) {
      if (session === this.session) await this.candidate(connection, candidate);
    }
    if (type === "answer") return;
    await connection.setLocalDescription();
    this.describe(connection);
  }

  private async candidate(
    connection: RTCPeerConnection,
    candidate: RTCIceCandidateInit | null,
  ): Promise<void> {
    // It fails for an offer that was ignored, another ICE generation, or a type unusable here.
    await connection.addIceCandidate(candidate ?? undefined).catch(() => {});
  }

  /** Sends the offer again if it has no answer. */
  private describeOffer(connection: RTCPeerConnection): void {
    if (connection.signalingState === "have-local-offer") this.describe(connection);
  }

  private describe({ localDescription }: RTCPeerConnection): void {
    if (localDescription === null) return;
    const { type, sdp } = localDescription;
    this.signal({ type, sdp });
  }

  /** To the other side; into its mailbox until it has come. */
  private signal(frame: object): void {
    const signal = { ...frame, session: this.session || undefined } as unknown as RelayFrame;
    if (this.state !== "waiting") this.client.relay(signal);
    else if (this.connection) this.client.send({ signal } satisfies Letter).catch(() => {});
  }

  private inTurn(run: () => void | Promise<void>): void {
    this.turn = this.turn
      .then(() => (this.state === "closed" ? undefined : run()))
      .catch(() => this.connection && this.fails(this.connection));
  }

  // ---- the connection ----

  /** A new connection in place of the current one. */
  private open(session: string): void {
    this.connection?.close();
    const connection = this.newConnection();
    this.connection = connection;
    if (connection === undefined) return;
    this.session = session;
    this.reported = false;
    this.listen(connection);
    for (const channel of this.channels.values()) channel.attach(connection);
    this.emit("connection", connection);
  }

  /** Ends the peer if that is not possible, for example because `rtc` is wrong. */
  private newConnection(): RTCPeerConnection | undefined {
    const { iceServers } = this.client;
    try {
      const Connection = this.options.RTCPeerConnection ?? RTCPeerConnection;
      return new Connection({ iceServers, ...this.options.rtc });
    } catch (error) {
      const { name, message } = error as Error;
      this.finish("invalid", { code: name, detail: message, retries: false });
      return undefined;
    }
  }

  private listen(connection: RTCPeerConnection): void {
    const isCurrent = () => this.connection === connection;
    connection.addEventListener("negotiationneeded", () => {
      if (isCurrent()) void this.offer(connection);
    });
    let found = 0;
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (!isCurrent() || candidate === null) return;
      if (candidate.candidate !== "") found++;
      this.signal({ type: "ice", candidate: candidate.toJSON() });
    });
    connection.addEventListener("icegatheringstatechange", () => {
      // Without an address of its own it cannot succeed.
      const isHopeless = connection.iceGatheringState === "complete" && found === 0;
      if (isCurrent() && isHopeless) this.fails(connection);
    });
    connection.addEventListener("connectionstatechange", () => {
      if (isCurrent()) this.changed(connection);
    });
  }

  private async offer(connection: RTCPeerConnection): Promise<void> {
    try {
      this.makesOffer = true;
      await connection.setLocalDescription();
      if (this.connection !== connection) return;
      this.describe(connection);
      if (connection.connectionState === "new") this.restartIn(connection, negotiationMs);
    } catch {
      // The other side's offer came first: it is answered, and this one follows later if needed.
    } finally {
      this.makesOffer = false;
    }
  }

  private changed(connection: RTCPeerConnection): void {
    switch (connection.connectionState) {
      case "connected":
        clearTimeout(this.timer);
        this.enter("connected");
        void this.report(connection);
        return;
      case "disconnected":
        this.enter("reconnecting");
        // The connection to the server may use the same network.
        this.client.check();
        this.restartIn(connection, lostMs);
        return;
      case "failed":
        this.fails(connection);
    }
  }

  private fails(connection: RTCPeerConnection): void {
    if (this.connection !== connection || this.state === "closed") return;
    this.client.report("ice-failed", { reason: "ice-failed" });
    this.emit("failed", connection);
    if (this.state !== "waiting") this.enter("reconnecting");
    this.restartIn(connection, againMs);
  }

  /** Looks for a path again and again, with fresh ICE servers, until there is one. */
  private restartIn(connection: RTCPeerConnection, ms: number): void {
    this.after(ms, () => {
      if (this.connection !== connection || connection.connectionState === "connected") return;
      this.restartIn(connection, 4 * againMs);
      if (this.isPeerThere) void this.restart(connection);
    });
  }

  /** Replaces the earlier timer. */
  private after(ms: number, run: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(run, ms);
  }

  private async restart(connection: RTCPeerConnection): Promise<void> {
    const { client } = this;
    if (client.appId !== undefined && hasExpired(client.iceServers, client.serverNow())) {
      const asked = iceServers(this.options.url, client.appId, this.side);
      client.iceServers = (await asked.catch(() => client)).iceServers;
    }
    if (this.connection !== connection || this.state === "closed") return;
    this.configure(connection);
    // An offer that has no answer yet was perhaps lost.
    if (connection.signalingState === "have-local-offer") this.describe(connection);
    else connection.restartIce();
  }

  /** TURN comes with the other side; it is used if the direct path takes too long. */
  private useTurn(connection: RTCPeerConnection): void {
    if (!this.client.iceServers.some(({ credential }) => credential !== undefined)) return;
    this.configure(connection);
    if (connection.connectionState === "new" || connection.connectionState === "connecting") {
      this.restartIn(connection, withoutTurnMs);
    }
  }

  private configure(connection: RTCPeerConnection): void {
    connection.setConfiguration({ iceServers: this.client.iceServers, ...this.options.rtc });
  }

  private readonly online = (): void => this.reconnect();

  private async report(connection: RTCPeerConnection): Promise<void> {
    if (this.reported) return;
    this.reported = true;
    const path = await pathOf(connection).catch(() => undefined);
    this.client.report("ice-connected", { mode: path?.relayed ? "relay" : "direct" });
  }

  private enter(state: PeerState): void {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    this.emit("state", state);
  }

  /** A listener that throws does not disturb the connection. */
  private emit<E extends keyof PeerEvents>(event: E, ...said: Parameters<PeerEvents[E]>): void {
    const { on = {} } = this.options;
    runSafely(() => (on[event] as ((...said: unknown[]) => void) | undefined)?.(...said));
  }

  private finish(why: Closed["why"], reason?: Reason): void {
    if (this.state === "closed") return;
    this.enter("closed");
    clearTimeout(this.timer);
    globalThis.removeEventListener?.("online", this.online);
    for (const channel of this.channels.values()) channel.end();
    this.connection?.close();
    this.client.close();
    this.end({ why, ...(reason && { reason }) });
  }
}

/**
 * A data channel that outlives its connection: it opens again on the next one. Both sides derive its
 * id from its label, so it needs no open message (RFC 8832).
 */
export class Channel {
  onopen: (() => void) | undefined;
  onmessage: ((data: string | ArrayBuffer) => void) | undefined;
  onclose: (() => void) | undefined;
  /** The current one, for its `bufferedAmount` and the like. */
  raw: RTCDataChannel | undefined;
  readonly label: string;
  private readonly id: number;

  constructor(label: string, others: readonly Channel[]) {
    this.label = label;
    this.id = idOf(label);
    const other = others.find(({ id }) => id === this.id);
    if (other) {
      throw new Error(`Channels "${label}" and "${other.label}" have one id. Rename one of them.`);
    }
  }

  get isOpen(): boolean {
    return this.raw?.readyState === "open";
  }

  /** False when the channel is not open: nothing was sent. */
  send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): boolean {
    if (this.raw?.readyState !== "open") return false;
    this.raw.send(data as ArrayBuffer);
    return true;
  }

  attach(connection: RTCPeerConnection): void {
    this.end();
    const raw = connection.createDataChannel(this.label, { negotiated: true, id: this.id });
    this.raw = raw;
    raw.binaryType = "arraybuffer";
    raw.onopen = () => this.raw === raw && this.onopen?.();
    raw.onmessage = ({ data }) => this.raw === raw && this.onmessage?.(data);
    raw.onclose = () => this.raw === raw && this.end();
  }

  end(): void {
    const { raw } = this;
    this.raw = undefined;
    if (raw) runSafely(() => this.onclose?.());
  }
}

/** The path that data takes. */
export interface Path {
  /** Over TURN. */
  readonly relayed: boolean;
  /** Types of both ends: `host`, `srflx`, `prflx` or `relay`. */
  readonly local: string;
  readonly remote: string;
  readonly roundTripMs: number | undefined;
}

interface Stats {
  readonly type: string;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly candidateType?: string;
  readonly currentRoundTripTime?: number;
  readonly nominated?: boolean;
  readonly state?: string;
}

/** Reads the path from the connection's statistics; undefined while there is none. */
export async function pathOf(connection: RTCPeerConnection): Promise<Path | undefined> {
  // Without the library dom.iterable, TypeScript 5 does not know that it is a map.
  const stats = (await connection.getStats()) as unknown as ReadonlyMap<string, Stats>;
  const pair = chosenPair(stats);
  const local = stats.get(pair?.localCandidateId ?? "")?.candidateType;
  const remote = stats.get(pair?.remoteCandidateId ?? "")?.candidateType;
  if (pair === undefined || local === undefined || remote === undefined) return undefined;
  const seconds = pair.currentRoundTripTime;
  const relayed = local === "relay" || remote === "relay";
  return {
    relayed,
    local,
    remote,
    roundTripMs: seconds === undefined ? undefined : seconds * 1000,
  };
}

/** Firefox has no transport in its statistics: there it is the nominated pair that works. */
function chosenPair(stats: ReadonlyMap<string, Stats>): Stats | undefined {
  const all = [...stats.values()];
  const transport = all.find(({ selectedCandidatePairId: id }) => id !== undefined);
  if (transport !== undefined) return stats.get(transport.selectedCandidatePairId ?? "");
  return all.find(
    ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded",
  );
}

/** User names made by the server begin with the time at which they expire, in seconds. */
function hasExpired(servers: readonly IceServer[], now: number): boolean {
  return servers.some(({ username = "" }) => {
    const seconds = /^(\d{9,}):/.exec(username)?.[1];
    return seconds !== undefined && Number(seconds) * 1000 < now;
  });
}

/** In the upper half of all ids: the lower half is for the application's own channels. */
function idOf(label: string): number {
  let hash = 0;
  for (const character of label) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 509;
  return 512 + hash;
}

/** Tells negotiations apart. It is not secret. */
function newSession(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
}

/** Its errors are reported as uncaught and do not stop the caller. */
function runSafely(run: () => void): void {
  try {
    run();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

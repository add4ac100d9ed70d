import type { RelayFrame, Side, SignalingClient } from "../../client/client.ts";
import { type Attempt, type CandidateCounts, noCandidates } from "./advice.ts";
import type { Sent } from "./chat.ts";
import type { IceServers } from "./ice-servers.ts";

/** The path that data takes between the peers. */
export interface Path {
  readonly relayed: boolean;
  /** Types of both ends: `host`, `srflx`, `prflx` or `relay`. */
  readonly local: string;
  readonly remote: string;
  readonly roundTripMs: number | undefined;
}

export interface PeerEvents {
  /** `offer` and `answer` came from the other side, or went there. */
  described(type: "offer" | "answer", sent: boolean): void;
  candidates(local: CandidateCounts, remote: CandidateCounts): void;
  ice(state: RTCIceConnectionState): void;
  /** Every 2 s while connected. */
  path(path: Path): void;
  opened(): void;
  /** The other side cannot be reached at the moment. */
  closed(): void;
  failed(attempt: Attempt, triesAgain: boolean): void;
  text(text: string): void;
  /** The other side begins to send a file over this channel. */
  file(channel: RTCDataChannel): void;
}

/** How long a negotiation may take, and a lost network to come back, before ICE is restarted. */
const negotiationMs = 20_000;
const lostMs = 4_000;
const pathEveryMs = 2_000;
/** Before the second try; twice as long before the third. */
const againMs = 1_000;
const maxTries = 3;

/**
 * The connection to the other side, made anew as often as needed. Side A offers, side B answers:
 *
 *     each, whenever the other arrives    sender_ready {have}    the session it is connected in
 *     A, unless both have the same one    offer {session, sdp}
 *     B                                   answer {session, sdp}
 *     both                                ice {session, candidate}
 *
 * Beside the chat is a channel for `ack`, one for each message, and for `ping` and `pong`: they tell a
 * peer that has only lost the server from one that is gone.
 *
 * What belongs to another session than the current one comes too late and is ignored. An offer of
 * the current session restarts ICE; data channels, and files in them, live on.
 */
export class PeerConnection {
  private connection: RTCPeerConnection | undefined;
  private session: string | undefined;
  private chat: RTCDataChannel | undefined;
  private control: RTCDataChannel | undefined;
  /** Messages that the other side has not acknowledged. */
  private unacknowledged: Sent[] = [];
  /** The other side lost the server, and nothing has come from it since. */
  private isInDoubt = false;
  /** Candidates that came before the description they belong to. */
  private early: RTCIceCandidateInit[] = [];
  private local = noCandidates;
  private remote = noCandidates;
  private iceUrls: readonly string[] = [];
  private errors: { url: string; code: number }[] = [];
  private tries = 0;
  private peerHere = false;
  private reported = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pathTimer: ReturnType<typeof setInterval> | undefined;
  /** Signals are handled one after the other: most of them wait for the browser. */
  private turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: {
      readonly client: SignalingClient;
      readonly side: Side;
      readonly iceServers: IceServers;
      /** Only over TURN: to try whether that works. */
      readonly relayOnly: boolean;
      readonly on: PeerEvents;
    },
  ) {}

  get isOpen(): boolean {
    return this.chat?.readyState === "open" && this.isConnected() && !this.isInDoubt;
  }

  /** The other side has left the room; the connection may outlive that, but is not made anew. */
  peerLeft(): void {
    this.peerHere = false;
    this.isInDoubt = true;
    if (this.control?.readyState === "open") this.control.send("ping");
    this.lose();
  }

  /** The other side has arrived. */
  peerJoined(): void {
    this.peerHere = true;
    const have = this.isConnected() && !this.isInDoubt ? this.session : undefined;
    this.options.client.relay({ type: "sender_ready", have });
  }

  received(frame: RelayFrame): void {
    this.turn = this.turn.then(() => this.handle(frame)).catch(() => this.fail());
  }

  /** Starts over after all tries have failed. */
  tryAgain(): void {
    this.tries = 0;
    this.restart();
  }

  /** False when there is no connection right now. */
  say(text: string, sent: Sent): boolean {
    if (!this.isOpen || this.chat === undefined) return false;
    this.unacknowledged.push(sent);
    this.chat.send(text);
    return true;
  }

  /** A channel of its own for one file. */
  openFileChannel(): RTCDataChannel | undefined {
    return this.isOpen ? this.connection?.createDataChannel("file") : undefined;
  }

  close(): void {
    clearTimeout(this.timer);
    clearInterval(this.pathTimer);
    const { connection } = this;
    this.connection = undefined;
    this.session = undefined;
    this.chat = this.control = undefined;
    for (const sent of this.unacknowledged.splice(0)) sent.delivered(false);
    connection?.close();
  }

  // ---- signals ----

  private async handle(frame: RelayFrame): Promise<void> {
    switch (frame.type) {
      case "sender_ready":
        return this.peerReady(frame["have"]);
      case "offer":
        return this.offered(String(frame["session"]), String(frame["sdp"]));
      case "answer":
        if (frame["session"] !== this.session) return;
        this.options.on.described("answer", false);
        return this.describedBy({ type: "answer", sdp: String(frame["sdp"]) });
      case "ice":
        if (frame["session"] !== this.session) return;
        return this.candidate(frame["candidate"] as RTCIceCandidateInit | null);
    }
  }

  private async peerReady(have: unknown): Promise<void> {
    if (this.options.side !== "A") return;
    if (have !== undefined && have === this.session) {
      if (!this.isConnected()) await this.offer(true);
      return;
    }
    this.tries = 0;
    await this.offer(false);
  }

  private async offer(restart: boolean): Promise<void> {
    const session = restart && this.session !== undefined ? this.session : newSession();
    const connection = await this.connectionFor(session);
    this.wait(negotiationMs);
    await connection.setLocalDescription(await connection.createOffer({ iceRestart: restart }));
    if (this.connection !== connection) return;
    this.relay({ type: "offer", session, sdp: connection.localDescription?.sdp });
    this.options.on.described("offer", true);
  }

  private async offered(session: string, sdp: string): Promise<void> {
    this.options.on.described("offer", false);
    const connection = await this.connectionFor(session);
    this.wait(negotiationMs);
    await this.describedBy({ type: "offer", sdp });
    await connection.setLocalDescription();
    this.relay({ type: "answer", session, sdp: connection.localDescription?.sdp });
    this.options.on.described("answer", true);
  }

  private async describedBy(description: RTCSessionDescriptionInit): Promise<void> {
    const { connection } = this;
    if (connection === undefined) return;
    await connection.setRemoteDescription(description);
    for (const candidate of this.early.splice(0)) await this.candidate(candidate);
  }

  private async candidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    const { connection } = this;
    if (candidate === null || connection === undefined) return;
    if (connection.remoteDescription === null) {
      this.early.push(candidate);
      return;
    }
    this.remote = counted(this.remote, candidate.candidate ?? "");
    this.options.on.candidates(this.local, this.remote);
    // Of another ICE generation, or of a kind this browser cannot use: others will do.
    await connection.addIceCandidate(candidate).catch(() => {});
  }

  private relay(frame: RelayFrame): void {
    this.options.client.relay(frame);
  }

  // ---- the connection ----

  /** The current one when the session is its own; else a new one in its place. */
  private async connectionFor(session: string): Promise<RTCPeerConnection> {
    if (this.connection !== undefined && session === this.session) return this.connection;
    const iceServers = await this.options.iceServers.current();
    if (this.connection !== undefined) this.options.on.closed();
    this.close();
    this.isInDoubt = false;
    const connection = new RTCPeerConnection({
      iceServers: iceServers.map(({ urls, ...rest }) => ({ ...rest, urls: [urls].flat() })),
      iceTransportPolicy: this.options.relayOnly ? "relay" : "all",
    });
    this.connection = connection;
    this.session = session;
    this.early = [];
    this.local = this.remote = noCandidates;
    this.iceUrls = iceServers.flatMap(({ urls }) => urls);
    this.errors = [];
    this.reported = false;
    this.options.on.candidates(this.local, this.remote);
    this.listen(connection, session);
    return connection;
  }

  private listen(connection: RTCPeerConnection, session: string): void {
    const { on } = this.options;
    const current = () => this.connection === connection;
    connection.onicecandidate = ({ candidate }) => {
      if (!current() || candidate === null || candidate.candidate === "") return;
      this.local = counted(this.local, candidate.candidate);
      on.candidates(this.local, this.remote);
      this.relay({ type: "ice", session, candidate: candidate.toJSON() });
    };
    connection.onicecandidateerror = ({ url, errorCode }) => {
      if (current()) this.errors.push({ url, code: errorCode });
    };
    connection.onicegatheringstatechange = () => {
      // Without an address of its own there is nothing to wait for.
      const none = connection.iceGatheringState === "complete" && this.local === noCandidates;
      if (current() && none) this.fail();
    };
    connection.oniceconnectionstatechange = () => {
      if (current()) on.ice(connection.iceConnectionState);
    };
    connection.onconnectionstatechange = () => {
      if (current()) this.changed(connection.connectionState);
    };
    connection.ondatachannel = ({ channel }) => {
      if (current()) on.file(channel);
    };
    // Agreed upon beforehand, so that it is there on both sides (RFC 8832 is not needed for it).
    const chat = connection.createDataChannel("chat", { negotiated: true, id: 0 });
    const control = connection.createDataChannel("control", { negotiated: true, id: 1 });
    this.chat = chat;
    this.control = control;
    chat.onopen = () => {
      if (current() && this.isOpen) on.opened();
    };
    chat.onclose = () => {
      if (current()) this.lose();
    };
    chat.onmessage = ({ data }) => {
      if (!current()) return;
      control.send("ack");
      this.heard();
      on.text(String(data));
    };
    control.onmessage = ({ data }) => {
      if (!current()) return;
      if (data === "ping") control.send("pong");
      if (data === "ack") this.unacknowledged.shift()?.delivered(true);
      this.heard();
    };
  }

  /** Nothing can be sent at the moment, and what was sent last may not have arrived. */
  private lose(): void {
    for (const sent of this.unacknowledged) sent.delivered(false);
    this.options.on.closed();
  }

  private heard(): void {
    if (!this.isInDoubt) return;
    this.isInDoubt = false;
    if (this.isOpen) this.options.on.opened();
  }

  private changed(state: RTCPeerConnectionState): void {
    switch (state) {
      case "connected":
        clearTimeout(this.timer);
        this.tries = 0;
        if (this.isOpen) this.options.on.opened();
        this.watchPath();
        return;
      case "disconnected":
        this.wait(lostMs);
        return this.lose();
      case "failed":
        this.fail();
    }
  }

  private isConnected(): boolean {
    return this.connection?.connectionState === "connected";
  }

  /** A failure, unless a connection comes first. */
  private wait(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fail(), ms);
  }

  private fail(): void {
    clearTimeout(this.timer);
    clearInterval(this.pathTimer);
    if (!this.peerHere) return this.lose();
    const again = ++this.tries < maxTries;
    const { iceUrls, local, remote, errors, options } = this;
    options.client.report("ice-failed", { reason: "ice-failed" });
    this.lose();
    const { relayOnly } = options;
    options.on.failed({ iceUrls, relayOnly, local, remote, errors }, again);
    if (again) this.timer = setTimeout(() => this.restart(), againMs * this.tries);
  }

  /** Side A restarts ICE by an offer; side B can only ask for one. */
  private restart(): void {
    if (this.options.side === "B") {
      this.relay({ type: "sender_ready", have: this.session });
      this.wait(negotiationMs);
      return;
    }
    this.turn = this.turn.then(() => this.offer(true)).catch(() => this.fail());
  }

  // ---- the path it takes ----

  private watchPath(): void {
    clearInterval(this.pathTimer);
    this.pathTimer = setInterval(() => void this.readPath(), pathEveryMs);
    void this.readPath();
  }

  private async readPath(): Promise<void> {
    const { connection } = this;
    if (connection === undefined) return;
    const path = await pathOf(connection);
    if (path === undefined || this.connection !== connection) return;
    this.options.on.path(path);
    if (this.reported) return;
    this.reported = true;
    this.options.client.report("ice-connected", { mode: path.relayed ? "relay" : "direct" });
  }
}

/** Candidates carry their type in words (RFC 8839 section 5.1). */
function counted(counts: CandidateCounts, candidate: string): CandidateCounts {
  const type = / typ (host|srflx|prflx|relay)\b/.exec(candidate)?.[1] as keyof CandidateCounts;
  return type === undefined ? counts : { ...counts, [type]: counts[type] + 1 };
}

/** Tells negotiations apart. It is no secret. */
function newSession(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
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
async function pathOf(connection: RTCPeerConnection): Promise<Path | undefined> {
  const stats = new Map<string, Stats>();
  (await connection.getStats()).forEach((entry: Stats & { id: string }) => {
    stats.set(entry.id, entry);
  });
  const pair = chosenPair(stats);
  const local = stats.get(pair?.localCandidateId ?? "")?.candidateType;
  const remote = stats.get(pair?.remoteCandidateId ?? "")?.candidateType;
  if (pair === undefined || local === undefined || remote === undefined) return undefined;
  const seconds = pair.currentRoundTripTime;
  return {
    relayed: local === "relay" || remote === "relay",
    local,
    remote,
    roundTripMs: seconds === undefined ? undefined : seconds * 1000,
  };
}

/** Firefox names no transport: there, the pair that is nominated and works. */
function chosenPair(stats: ReadonlyMap<string, Stats>): Stats | undefined {
  const all = [...stats.values()];
  const transport = all.find(({ selectedCandidatePairId: id }) => id !== undefined);
  if (transport !== undefined) return stats.get(transport.selectedCandidatePairId ?? "");
  return all.find(
    ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded",
  );
}

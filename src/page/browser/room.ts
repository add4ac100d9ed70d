import type { ClientState } from "../../client/client.ts";
import { type Closed, connect, type Path, type Peer, pathOf } from "../../client/peer.ts";
import { type Attempt, advice, type CandidateCounts, noCandidates, total } from "./advice.ts";
import { Chat, type Mark } from "./chat.ts";
import { element, setHidden } from "./elements.ts";
import { type Session, savedSession, saveSession } from "./session.ts";
import { type Step, type Steps, showSteps } from "./steps.ts";
import { Transfers } from "./transfers.ts";

/** How long the other side may be away before the page offers to start again; longer than a reload. */
const awayMs = 5_000;
const pathEveryMs = 2_000;
const notDelivered = "Not delivered";

/** What is known of a room, and all that the page shows of it. */
interface View {
  readonly server: ClientState;
  /** `doubt`: it lost the server. `away`: it has for long, and there is no connection either. */
  readonly other: "awaited" | "here" | "doubt" | "away" | "left";
  readonly peer: Peer["state"];
  readonly offer?: "Sent" | "Received";
  readonly answer?: "Sent" | "Received";
  readonly local: CandidateCounts;
  readonly remote: CandidateCounts;
  readonly ice: RTCIceConnectionState;
  readonly path?: Path | undefined;
  readonly failed?: Attempt | undefined;
}

const atFirst: View = {
  ...{ server: "connecting", other: "awaited", peer: "waiting", ice: "new" },
  ...{ local: noCandidates, remote: noCandidates },
};

/** Into a room by a code, by making one, or back into the one from before a reload. */
export type Entrance = { readonly code?: string } | { readonly session: Session };

/** A room that both sides are in or will be: the peer, and what the page shows of it. */
export class Room {
  private peer: Peer | undefined;
  private view = atFirst;
  private errors: { url: string; code: number }[] = [];
  private readonly chat = new Chat((text, mark) => this.say(text, mark));
  /** Of messages that the other side has not acknowledged. */
  private unacknowledged: Mark[] = [];
  private readonly transfers = new Transfers();
  private readonly title = element("room-title", HTMLHeadingElement);
  private awayTimer: ReturnType<typeof setTimeout> | undefined;
  private pathTimer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly options: {
      /** `http(s)://host[/base]` */
      readonly url: string;
      readonly relayOnly: boolean;
      /** The other side is here for the first time. */
      readonly paired: () => void;
      /** It cannot go on; `why` is for the person at this page. */
      readonly ended: (why: string) => void;
    },
  ) {
    element("again", HTMLButtonElement).onclick = () => {
      this.update({ failed: undefined });
      this.peer?.reconnect();
    };
  }

  /** Resolves with the session once there is a room, else rejects with the reason. */
  async enter(entrance: Entrance): Promise<Session> {
    const { url, relayOnly } = this.options;
    const session = "session" in entrance ? entrance.session : undefined;
    const { code: _, ...known } = session ?? { code: "" };
    const peer = await connect({
      url,
      ...(session ? known : entrance),
      ...(relayOnly && { rtc: { iceTransportPolicy: "relay" } }),
      on: {
        state: (state) => this.changed(state),
        server: (server) => this.update({ server }),
        present: (isThere) => this.present(isThere),
        connection: (connection) => this.watch(connection),
        mail: (payload, seq) => this.mailed(payload, seq),
        failed: (connection) => void this.failed(connection),
      },
    });
    this.peer = peer;
    peer.channel("chat").onmessage = (text) => {
      peer.channel("ack").send("");
      this.chat.received(String(text), false);
    };
    peer.channel("ack").onmessage = () => this.unacknowledged.shift()?.("");
    void peer.closed.then((closed) => this.closed(closed));
    this.chat.enabled = true;
    this.update({ server: peer.client.state, peer: peer.state });
    if (session !== undefined && session.code === undefined) this.awaitReturn();
    return session ?? newSession(peer);
  }

  sendFiles(files: Iterable<File>): void {
    for (const file of this.view.peer === "connected" ? files : []) {
      const channel = this.peer?.connection?.createDataChannel("file");
      if (channel !== undefined) this.transfers.send(file, channel);
    }
  }

  /** Says goodbye, so that the other side does not wait. */
  close(): void {
    const { peer } = this;
    this.peer = undefined;
    peer?.close();
    this.end();
    this.chat.clear();
    this.transfers.clear();
  }

  private end(): void {
    clearTimeout(this.awayTimer);
    clearInterval(this.pathTimer);
    this.chat.enabled = false;
    this.update({ failed: undefined });
    if (document.activeElement?.matches(":disabled")) this.title.focus();
  }

  // ---- events ----

  private changed(peer: Peer["state"]): void {
    if (peer === "connected") {
      this.update({ peer, failed: undefined, other: "here" });
      this.watchPath();
      return;
    }
    clearInterval(this.pathTimer);
    if (peer === "reconnecting") {
      // What was sent last may not have arrived.
      for (const mark of this.unacknowledged) mark(notDelivered);
    }
    this.update({ peer, path: undefined });
  }

  private present(isThere: boolean): void {
    if (!isThere) return this.awaitReturn();
    clearTimeout(this.awayTimer);
    this.options.paired();
    this.update({ other: "here" });
  }

  private awaitReturn(): void {
    this.update({ other: "doubt" });
    clearTimeout(this.awayTimer);
    this.awayTimer = setTimeout(() => {
      if (this.view.peer !== "connected") this.update({ other: "away" });
    }, awayMs);
  }

  private closed({ why }: Closed): void {
    if (this.peer === undefined) return;
    if (why !== "left") return this.options.ended(ends[why]);
    // What was written and received stays on the screen.
    saveSession(undefined);
    this.update({ other: "left" });
    this.end();
  }

  private mailed(payload: unknown, seq: number): void {
    const session = savedSession();
    if (session) saveSession({ ...session, deliveredUpTo: seq });
    if (typeof payload === "string") this.chat.received(payload, true);
  }

  private say(text: string, mark: Mark): void {
    if (this.view.peer === "connected" && this.peer?.channel("chat").send(text)) {
      this.unacknowledged.push(mark);
      return;
    }
    mark("Left in their mailbox");
    this.peer?.send(text).catch(() => mark(notDelivered));
  }

  // ---- the connection ----

  private watch(connection: RTCPeerConnection): void {
    const isCurrent = () => this.peer === undefined || this.peer.connection === connection;
    this.errors = [];
    for (const mark of this.unacknowledged.splice(0)) mark(notDelivered);
    const { server, other, peer } = this.view;
    this.view = { ...atFirst, server, other, peer };
    connection.ondatachannel = ({ channel }) => this.transfers.receive(channel);
    connection.onicecandidateerror = ({ url, errorCode }) => {
      this.errors.push({ url, code: errorCode });
    };
    connection.onsignalingstatechange = () => {
      const { signalingState } = connection;
      if (!isCurrent()) return;
      if (signalingState === "have-local-offer") this.update({ offer: "Sent" });
      else if (signalingState === "have-remote-offer") this.update({ offer: "Received" });
      else this.update({ answer: this.view.offer === "Sent" ? "Received" : "Sent" });
    };
    connection.oniceconnectionstatechange = () => {
      if (isCurrent()) void this.look(connection);
    };
  }

  /** The connection's own figures. */
  private async look(connection: RTCPeerConnection): Promise<void> {
    const found = await candidatesOf(connection);
    const path = this.view.peer === "connected" ? await pathOf(connection) : undefined;
    if (this.peer?.connection !== connection) return;
    this.update({ ice: connection.iceConnectionState, ...found, path });
  }

  private watchPath(): void {
    const look = () => this.peer?.connection && void this.look(this.peer.connection);
    clearInterval(this.pathTimer);
    this.pathTimer = setInterval(look, pathEveryMs);
    look();
  }

  private async failed(connection: RTCPeerConnection): Promise<void> {
    const found = await candidatesOf(connection);
    const { iceServers = [] } = connection.getConfiguration();
    const { relayOnly } = this.options;
    const failed = { iceUrls: iceServers.flatMap(({ urls }) => urls), relayOnly, ...found };
    if (this.view.other === "left") return;
    this.update({ ice: "failed", ...found, failed: { ...failed, errors: this.errors } });
  }

  // ---- view ----

  private update(news: Partial<View>): void {
    this.view = { ...this.view, ...news };
    const { failed, peer } = this.view;
    showSteps(stepsOf(this.view, this.peer?.client.side));
    const [title, detail, leave = "Leave"] = headlineOf(this.view);
    this.title.textContent = title;
    element("room-detail", HTMLParagraphElement).textContent = detail;
    element("leave", HTMLButtonElement).textContent = leave;
    setHidden(element("advice", HTMLDivElement), failed === undefined, this.title);
    element("advice-text", HTMLParagraphElement).textContent = failed ? advice(failed) : "";
    const choose = element("choose", HTMLButtonElement);
    choose.disabled = peer !== "connected";
    if (choose.disabled && document.activeElement === choose) this.title.focus();
  }
}

/** The panel, but for its first step. */
function stepsOf(view: View, side = ""): Omit<Steps, "code"> {
  const { server, other, offer, answer, ice, path } = view;
  return {
    seat: seatStep(server, side),
    peer: otherSides[other],
    offer: offer ? ["done", offer] : ["waiting"],
    answer: answer ? ["done", answer] : [offer ? "active" : "waiting"],
    candidates: candidatesStep(view),
    ice: offer ? iceWords[ice] : ["waiting"],
    path: pathStep(path),
    roundTrip: roundTripStep(path?.roundTripMs),
  };
}

function seatStep(server: ClientState, side: string): Step {
  if (server === "online") return ["done", `Side ${side}`];
  if (server !== "retrying") return ["active", "Opening the WebSocket"];
  return ["active", "The server cannot be reached: trying again"];
}

function candidatesStep({ offer, ice, local, remote }: View): Step {
  if (ice === "failed" && total(local) === 0) return ["failed", "None here"];
  if (!offer) return ["waiting"];
  const isFound = total(local) > 0 && total(remote) > 0;
  return [isFound ? "done" : "active", `Here: ${listed(local)}. There: ${listed(remote)}.`];
}

function pathStep(path: Path | undefined): Step {
  if (path === undefined) return ["waiting"];
  const { relayed, local, remote } = path;
  return ["done", `${relayed ? "Relayed by TURN" : "Direct"} (${local} here, ${remote} there)`];
}

function roundTripStep(ms: number | undefined): Step {
  if (ms === undefined) return ["waiting"];
  return ["done", ms < 1 ? "Under 1 ms" : `${Math.round(ms)} ms`];
}

const ends: Readonly<Record<Exclude<Closed["why"], "left">, string>> = {
  closed: "",
  replaced: "This side of the room was opened in another tab. You can close this one.",
  busy: "Another client has this side of the room.",
  invalid: "The server no longer knows this room.",
  refused: "The server refused a message of this page. Reload it.",
};

const otherSides: Readonly<Record<View["other"], Step>> = {
  awaited: ["active", "Not here yet"],
  here: ["done", "In the room"],
  doubt: ["active", "Lost the server, or has left"],
  away: ["active", "Lost the server, or has left"],
  left: ["failed", "Has left"],
};

const iceWords: Readonly<Record<RTCIceConnectionState, Step>> = {
  new: ["active", "Trying pairs of addresses"],
  checking: ["active", "Trying pairs of addresses"],
  connected: ["done", "A pair works"],
  completed: ["done", "A pair works"],
  disconnected: ["active", "No answer at the moment"],
  failed: ["failed", "No pair works"],
  closed: ["waiting"],
};

/** Title, explanation, and the text of the button to leave. */
function headlineOf({ other, peer, path, failed }: View): [string, string, string?] {
  const again = "Start again";
  if (other === "left") {
    return ["The other side has left", "Save what you want to keep, then start again.", again];
  }
  if (peer === "connected") {
    const way = path?.relayed
      ? "goes encrypted over a TURN server."
      : "goes directly to the other browser.";
    return ["Connected", `What you write and send ${way}`];
  }
  if (other === "away") {
    const words = "Messages wait in its mailbox. If it doesn’t come back, start again.";
    return ["The other side is away", words, again];
  }
  if (failed) return ["Not connected", "Trying once more."];
  if (peer !== "reconnecting" && other !== "doubt") {
    return ["Connecting", "Both browsers look for a way to each other."];
  }
  return ["Reconnecting", "Messages wait in the other side’s mailbox meanwhile."];
}

/** What the tab has to keep to be the same client after a reload. */
function newSession({ client, code, expiresAt }: Peer): Session {
  const { appId = "", side = "A", sid, deliveredUpTo } = client;
  const own = { appId, side, sid, deliveredUpTo };
  const expiresAtMs = Date.parse(expiresAt) + Date.now() - client.serverNow();
  return code === "" ? own : { ...own, code, expiresAtMs };
}

/** The candidates of both sides, as the connection's statistics have them. */
async function candidatesOf(connection: RTCPeerConnection) {
  const counts = { local: { ...noCandidates }, remote: { ...noCandidates } };
  (await connection.getStats()).forEach(({ type, candidateType }) => {
    const side = type === "local-candidate" ? "local" : "remote";
    const isCandidate = type === `${side}-candidate` && candidateType in noCandidates;
    if (isCandidate) counts[side][candidateType as keyof CandidateCounts]++;
  });
  return counts;
}

/** `2 host, 1 relay` */
function listed(counts: CandidateCounts): string {
  const found = Object.entries(counts).filter(([, count]) => count > 0);
  return found.map(([type, count]) => `${count} ${type}`).join(", ") || "none";
}

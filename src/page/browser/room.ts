import {
  type ClientState,
  type RelayFrame,
  SignalingClient,
  type Welcome,
} from "../../client/client.ts";
import { type Attempt, advice, type CandidateCounts } from "./advice.ts";
import { Chat, type Sent } from "./chat.ts";
import { element, setHidden } from "./elements.ts";
import { IceServers } from "./ice-servers.ts";
import { type Path, PeerConnection, type PeerEvents } from "./peer-connection.ts";
import { type Session, savedSession, saveSession } from "./session.ts";
import type { Steps } from "./steps.ts";
import { Transfers } from "./transfers.ts";

/** How long the other side may be away before the page offers to start anew. A reload takes less. */
const awayMs = 5_000;

/** A room that both sides are in or will be: signaling, connection, and what the page shows of them. */
export class Room {
  private readonly client: SignalingClient;
  private readonly peer: PeerConnection;
  private readonly chat = new Chat((text, sent) => this.say(text, sent));
  private readonly transfers = new Transfers();
  private readonly title = element("room-title", HTMLHeadingElement);
  private readonly detail = element("room-detail", HTMLParagraphElement);
  private readonly advice = element("advice", HTMLDivElement);
  private readonly choose = element("choose", HTMLButtonElement);
  private readonly leave = element("leave", HTMLButtonElement);
  private paired = false;
  private isAway = false;
  private awayTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly options: {
      /** `http(s)://host[/base]` */
      readonly url: string;
      readonly session: Session;
      readonly steps: Steps;
      readonly relayOnly: boolean;
      /** The other side is here for the first time. */
      readonly paired: () => void;
      /** It cannot go on; `why` is for the person at this page. */
      readonly ended: (why: string) => void;
    },
  ) {
    const { url, session, relayOnly } = options;
    const iceServers = new IceServers(url, session);
    this.client = new SignalingClient({
      url,
      appId: session.appId,
      side: session.side,
      sid: session.sid,
      deliveredUpTo: session.deliveredUpTo,
      on: {
        state: (state) => this.stateChanged(state),
        welcome: (welcome) => {
          iceServers.received(welcome.iceServers ?? []);
          this.welcomed(welcome);
        },
        peerJoined: () => this.peerJoined(),
        peerLeft: () => this.peerLeft(),
        relay: (frame) => this.relayed(frame),
        mail: (payload, seq) => this.mailed(payload, seq),
      },
    });
    const on = this.peerEvents();
    this.peer = new PeerConnection({
      client: this.client,
      side: session.side,
      iceServers,
      relayOnly,
      on,
    });
    this.chat.enabled = true;
    this.stateChanged(this.client.state);
    this.show("Connecting", "Both browsers look for a way to each other.");
    element("again", HTMLButtonElement).onclick = () => {
      this.advise(undefined);
      this.peer.tryAgain();
    };
    addEventListener("online", this.networkIsBack);
  }

  sendFiles(files: Iterable<File>): void {
    for (const file of files) {
      const channel = this.peer.openFileChannel();
      if (channel !== undefined) this.transfers.send(file, channel);
    }
  }

  /** Says goodbye, so that the other side does not wait. */
  close(): void {
    this.client.relay({ type: "sender_ready", bye: true });
    this.end();
    this.chat.clear();
    this.transfers.clear();
  }

  private end(): void {
    removeEventListener("online", this.networkIsBack);
    clearTimeout(this.awayTimer);
    this.peer.close();
    this.client.close();
    this.advise(undefined);
    this.choose.disabled = true;
    this.chat.enabled = false;
    if (document.activeElement?.matches(":disabled")) this.title.focus();
  }

  private readonly networkIsBack = () => this.client.reconnect();

  // ---- signaling ----

  private stateChanged(state: ClientState): void {
    const { steps, session, ended } = this.options;
    switch (state) {
      case "connecting":
        return steps.set("seat", "active", "Opening the WebSocket");
      case "online":
        return steps.set("seat", "done", `Side ${session.side}`);
      case "retrying":
        return steps.set("seat", "active", "The server cannot be reached: trying again");
      case "replaced":
        return ended("This side of the room was opened in another tab. You can close this one.");
      case "refused":
        return ended("The server refused a message of this page. Reload it.");
    }
  }

  private welcomed({ peer }: Welcome): void {
    const { session, steps } = this.options;
    if (peer) return;
    if (this.paired || session.code === undefined) this.peerLeft();
    if (!this.paired) steps.set("peer", "active", "Not here yet");
  }

  private peerJoined(): void {
    this.options.steps.set("peer", "done", "In the room");
    clearTimeout(this.awayTimer);
    if (this.isAway) this.show("Connecting", "The other side is back.");
    this.isAway = false;
    this.pair();
    this.peer.peerJoined();
  }

  private peerLeft(): void {
    this.options.steps.set("peer", "active", "Lost the server, or has left");
    this.peer.peerLeft();
    clearTimeout(this.awayTimer);
    this.awayTimer = setTimeout(() => this.away(), awayMs);
  }

  private away(): void {
    if (this.peer.isOpen) return;
    this.isAway = true;
    const words = "Messages wait in its mailbox. If it doesn’t come back, start anew.";
    this.show("The other side is away", words, "Start anew");
  }

  /** The other side said goodbye. What was written and received stays on the screen. */
  private left(): void {
    saveSession(undefined);
    this.end();
    this.options.steps.set("peer", "failed", "Has left");
    const words = "Save what you want to keep, then start anew.";
    this.show("The other side has left", words, "Start anew");
  }

  private pair(): void {
    if (this.paired) return;
    this.paired = true;
    this.options.paired();
  }

  private relayed(frame: RelayFrame): void {
    this.pair();
    if (frame["bye"] === true) return this.left();
    this.peer.received(frame);
  }

  private mailed(payload: unknown, seq: number): void {
    saveSession({ ...(savedSession() ?? this.options.session), deliveredUpTo: seq });
    if (typeof payload === "string") this.chat.received(payload, true);
  }

  private say(text: string, sent: Sent): "direct" | "mail" {
    if (this.peer.say(text, sent)) return "direct";
    this.client.send(text).catch(() => this.options.ended("The server refused a message."));
    return "mail";
  }

  // ---- the connection ----

  private peerEvents(): PeerEvents {
    const { steps } = this.options;
    return {
      described: (type, sent) => {
        steps.set(type, "done", sent ? "Sent" : "Received");
        if (type === "offer") steps.set("answer", "active");
      },
      candidates: (local, remote) => {
        const found = `Here: ${listed(local)}. There: ${listed(remote)}.`;
        steps.set("candidates", total(local) * total(remote) > 0 ? "done" : "active", found);
      },
      ice: (state) => this.iceChanged(state),
      path: (path) => this.pathKnown(path),
      opened: () => {
        this.isAway = false;
        this.choose.disabled = false;
        this.advise(undefined);
        this.show("Connected", "What you write and send goes directly to the other browser.");
      },
      closed: () => this.closed(),
      failed: (attempt, again) => this.failed(attempt, again),
      text: (text) => this.chat.received(text, false),
      file: (channel) => this.transfers.receive(channel),
    };
  }

  private closed(): void {
    const { steps } = this.options;
    this.choose.disabled = true;
    if (document.activeElement?.matches(":disabled")) this.title.focus();
    const words = "Messages wait in the other side’s mailbox meanwhile.";
    if (!this.isAway) this.show("Reconnecting", words);
    steps.set("path", "waiting");
    steps.set("roundTrip", "waiting");
  }

  private iceChanged(state: RTCIceConnectionState): void {
    const { steps } = this.options;
    switch (state) {
      case "new":
      case "checking":
        return steps.set("ice", "active", "Trying pairs of addresses");
      case "connected":
      case "completed":
        return steps.set("ice", "done", "A pair works");
      case "disconnected":
        return steps.set("ice", "active", "No answer at the moment");
      case "failed":
        return steps.set("ice", "failed", "No pair works");
      case "closed":
        return steps.set("ice", "waiting");
    }
  }

  private pathKnown({ relayed, local, remote, roundTripMs }: Path): void {
    const { steps } = this.options;
    const ends = `${local} here, ${remote} there`;
    steps.set("path", "done", relayed ? `Relayed by TURN (${ends})` : `Direct (${ends})`);
    if (relayed)
      this.show("Connected", "What you write and send goes encrypted over a TURN server.");
    if (roundTripMs === undefined) return;
    steps.set(
      "roundTrip",
      "done",
      roundTripMs < 1 ? "Under 1 ms" : `${Math.round(roundTripMs)} ms`,
    );
  }

  private failed(attempt: Attempt, again: boolean): void {
    const { steps } = this.options;
    steps.set("ice", "failed", "No pair works");
    if (total(attempt.local) === 0) steps.set("candidates", "failed", "None here");
    this.show("Not connected", again ? "Trying once more." : "The connection could not be made.");
    this.advise(advice(attempt));
  }

  private advise(text: string | undefined): void {
    setHidden(this.advice, text === undefined, this.title);
    element("advice-text", HTMLParagraphElement).textContent = text ?? "";
  }

  private show(title: string, detail: string, leave = "Leave"): void {
    this.leave.textContent = leave;
    this.title.textContent = title;
    this.detail.textContent = detail;
  }
}

function total({ host, srflx, prflx, relay }: CandidateCounts): number {
  return host + srflx + prflx + relay;
}

/** `2 host, 1 relay` */
function listed(counts: CandidateCounts): string {
  const found = (["host", "srflx", "prflx", "relay"] as const).filter((type) => counts[type] > 0);
  return found.map((type) => `${counts[type]} ${type}`).join(", ") || "none";
}

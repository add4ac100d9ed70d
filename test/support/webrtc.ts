import {
  type RTCDataChannel,
  type RTCIceCandidate,
  RTCPeerConnection,
  RTCSessionDescription,
} from "werift";
import type { IceCandidate, RelayFrame } from "../../src/client/client.ts";
import { type Frame, TestClient } from "./client.ts";
import { Changes, within } from "./waiting.ts";

/**
 * A real WebRTC peer that knows of the other one only what the server relays: side A offers, side B
 * answers, each tells its ICE candidates one by one, and none stands in the session descriptions.
 */
export class WebRtcPeer implements AsyncDisposable {
  /** Messages over the data channel, not asked for yet. */
  private readonly messages: string[] = [];
  private readonly changes = new Changes();
  private channel: RTCDataChannel | undefined;
  /** Candidates that came before the description they belong to. */
  private early: Frame[] | undefined = [];
  /** What signaling failed of: it is told to whoever waits for the channel. */
  private readonly failed = Promise.withResolvers<never>();
  private readonly opened = Promise.withResolvers<RTCDataChannel>();

  private constructor(
    readonly signaling: TestClient,
    private readonly connection: RTCPeerConnection,
  ) {
    this.failed.promise.catch(() => {});
    connection.onIceCandidate.subscribe((candidate) => this.tellCandidate(candidate));
    connection.onDataChannel.subscribe((channel) => this.take(channel));
  }

  /** Joins the room, waits there for the other side, and connects to it. */
  static async join(base: string, appId: string, side: "A" | "B"): Promise<WebRtcPeer> {
    const signaling = await TestClient.open(base, appId, side);
    const peer = new WebRtcPeer(signaling, loopbackConnection());
    signaling.send({ type: "hello", side });
    peer.signal(side).catch((error: unknown) => {
      if (peer.channel?.readyState !== "open") peer.failed.reject(error);
    });
    return peer;
  }

  /** Resolves when the data channel to the other peer is open. */
  async connected(): Promise<void> {
    await within("the data channel to open", this.orFailed(this.opened.promise));
  }

  /** Peer to peer; the server never sees it. */
  async send(text: string): Promise<void> {
    (await this.orFailed(this.opened.promise)).send(text);
  }

  async next(): Promise<string> {
    const what = "a message over the data channel";
    return this.orFailed(this.changes.until(what, () => this.messages.shift()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
    await this.signaling[Symbol.asyncDispose]();
  }

  private orFailed<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.failed.promise]);
  }

  // ---- signaling ----

  private async signal(side: "A" | "B"): Promise<void> {
    await this.signaling.nextOf("room_full");
    if (side === "A") {
      this.take(this.connection.createDataChannel("test"));
      await this.describe("offer");
    }
    while (this.channel?.readyState !== "open") await this.hear(await this.signaling.next());
  }

  private async hear(frame: Frame): Promise<void> {
    switch (frame.type) {
      case "offer":
      case "answer":
        await this.connection.setRemoteDescription({ type: frame.type, sdp: String(frame["sdp"]) });
        if (frame.type === "offer") await this.describe("answer");
        for (const candidate of this.early ?? []) await this.addCandidate(candidate);
        this.early = undefined;
        return;
      case "ice":
        if (this.early) this.early.push(frame);
        else await this.addCandidate(frame);
        return;
      default:
        throw new Error(`A peer got a frame it doesn't know: ${JSON.stringify(frame)}`);
    }
  }

  private async describe(type: "offer" | "answer"): Promise<void> {
    const description =
      type === "offer" ? await this.connection.createOffer() : await this.connection.createAnswer();
    const sdp = description.sdp.replaceAll(/^a=(candidate:.*|end-of-candidates)\r\n/gm, "");
    this.signaling.send({ type, sdp });
    await this.connection.setLocalDescription(description);
  }

  private tellCandidate(candidate: RTCIceCandidate | undefined): void {
    if (candidate === undefined) return;
    const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
    this.signaling.send({ type: "ice", candidate: { candidate: line, sdpMid, sdpMLineIndex } });
  }

  private async addCandidate({ candidate }: Frame): Promise<void> {
    const { candidate: line, sdpMid, sdpMLineIndex } = candidate as Record<string, unknown>;
    await this.connection.addIceCandidate({
      candidate: String(line),
      ...(typeof sdpMid === "string" ? { sdpMid } : {}),
      ...(typeof sdpMLineIndex === "number" ? { sdpMLineIndex } : {}),
    });
  }

  // ---- data channel ----

  private take(channel: RTCDataChannel): void {
    this.channel = channel;
    channel.onMessage.subscribe((message) => {
      this.messages.push(message.toString());
      this.changes.changed();
    });
    const open = () => {
      if (channel.readyState === "open") this.opened.resolve(channel);
    };
    channel.stateChanged.subscribe(open);
    open();
  }
}

/** Nothing leaves this machine: no STUN server, loopback alone. */
function loopbackConnection(): RTCPeerConnection {
  return new RTCPeerConnection({
    iceServers: [],
    iceUseIpv6: false,
    iceAdditionalHostAddresses: ["127.0.0.1"],
    iceFilterCandidatePair: ({ remoteCandidate }) => remoteCandidate.host === "127.0.0.1",
  });
}

/**
 * A WebRTC peer that says what it has for the other side when it is asked to, so that a test can
 * break sockets in between.
 */
export class RejoiningPeer implements AsyncDisposable {
  private readonly connection = new RTCPeerConnection({ iceServers: [] });
  private readonly gathered: RelayFrame[] = [];
  /** The first message of the other peer, over their own connection. */
  readonly message: Promise<string>;

  constructor(private readonly text: string) {
    this.connection.onIceCandidate.subscribe((candidate) => {
      if (candidate)
        this.gathered.push({ type: "ice", candidate: candidate.toJSON() as IceCandidate });
    });
    this.message = new Promise((resolve) => {
      this.connection.onDataChannel.subscribe((channel) => {
        channel.onMessage.subscribe((message) => resolve(message.toString()));
      });
    });
  }

  /** An offer, then its candidates. */
  async offer(): Promise<readonly RelayFrame[]> {
    this.talk();
    return this.describe("offer", await this.connection.createOffer());
  }

  /** The answer to what has been heard, then its candidates. */
  async answer(): Promise<readonly RelayFrame[]> {
    this.talk();
    return this.describe("answer", await this.connection.createAnswer());
  }

  async hear(frame: RelayFrame): Promise<void> {
    if (frame.type === "ice") {
      await this.connection.addIceCandidate(frame["candidate"] as { candidate: string });
      return;
    }
    const type = frame.type === "offer" ? "offer" : "answer";
    const remote = new RTCSessionDescription(String(frame["sdp"]), type);
    await this.connection.setRemoteDescription(remote);
  }

  hears(): Promise<string> {
    return within("a message over WebRTC", this.message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
  }

  private async describe(
    type: "offer" | "answer",
    description: RTCSessionDescription,
  ): Promise<readonly RelayFrame[]> {
    const { sdp } = description;
    await this.connection.setLocalDescription(description);
    return [{ type, sdp }, ...this.gathered.splice(0)];
  }

  private talk(): void {
    const channel = this.connection.createDataChannel(this.text);
    channel.stateChanged.subscribe((state) => {
      if (state === "open") channel.send(Buffer.from(this.text));
    });
  }
}

import { RTCPeerConnection, RTCSessionDescription } from "werift";
import type { RelayFrame } from "../../src/client/client.ts";
import { within } from "./client.ts";

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
      if (candidate) this.gathered.push({ type: "ice", candidate: candidate.toJSON() });
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

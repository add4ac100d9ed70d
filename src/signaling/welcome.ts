import type { Client } from "../admission/clients.ts";
import { andThen } from "../base/maybe-promise.ts";
import { type IceServer, peerJoined, serverFrame } from "../protocol/frames.ts";
import type { Connection, PeerIdentity, SignalingContext } from "./context.ts";

/** What a client of `nt.v2` is sent when it has its seat, and its ICE servers: then, or with its peer. */
export class Welcome {
  /** It was given servers with a credential. */
  private hasTurn = false;

  constructor(
    private readonly connection: Connection,
    private readonly identity: PeerIdentity,
    private readonly context: SignalingContext,
    private readonly client: Client,
  ) {}

  send(peer: boolean): void {
    const { connectionLog, heartbeatMs, wsMaxMsgBytes } = this.context;
    const { appId, side } = this.identity;
    this.sendWithIce((iceServers) =>
      serverFrame("welcome", {
        side,
        peer,
        heartbeatMs,
        maxMessageBytes: wsMaxMsgBytes,
        room: connectionLog?.roomTag(appId),
        ...(iceServers.length > 0 && { iceServers }),
      }),
    );
  }

  /** A client that was welcomed before its code was redeemed has no TURN servers yet. */
  peerJoined(): void {
    if (this.hasTurn) this.connection.send(peerJoined);
    else {
      this.sendWithIce((iceServers) =>
        this.hasTurn ? serverFrame("peer_joined", { iceServers }) : peerJoined,
      );
    }
  }

  /** Later frames wait for this one, which may have to wait for its ICE servers. */
  private sendWithIce(frame: (iceServers: readonly IceServer[]) => string): void {
    const { appId, side } = this.identity;
    const iceServers = this.context.iceServers(appId, side, this.client);
    const text = andThen(iceServers, (servers) => {
      this.hasTurn = servers.some(({ credential }) => credential !== undefined);
      return frame(servers);
    });
    if (text instanceof Promise) this.connection.sendLater(text);
    else this.connection.send(text);
  }
}

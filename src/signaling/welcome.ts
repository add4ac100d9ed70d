import type { Client } from "../admission/clients.ts";
import { andThen } from "../base/maybe-promise.ts";
import { type IceServer, peerJoined, serverFrame } from "../protocol/frames.ts";
import type { Connection, PeerIdentity, SignalingContext } from "./context.ts";

/** Sends `welcome` and `peer_joined` to a client of `nt.v2`, with ICE servers once it may have them. */
export class Welcome {
  /** The client got servers with a credential. */
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

  /** A client that was welcomed before its code was redeemed gets its TURN servers here. */
  peerJoined(): void {
    if (this.hasTurn) this.connection.send(peerJoined);
    else {
      this.sendWithIce((iceServers) =>
        this.hasTurn ? serverFrame("peer_joined", { iceServers }) : peerJoined,
      );
    }
  }

  /** Sends a frame once its ICE servers are known. Later frames wait for it. */
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

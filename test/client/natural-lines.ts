// What a person writes without looking twice. It has to compile; it is never run.
import {
  type ClientState,
  type IceServer,
  mint,
  RendezvousError,
  SignalingClient,
} from "nt-signal-client";
import { connect, type Peer, RendezvousError as SameError } from "nt-signal-client/peer";
import * as ws from "ws";

export async function byHand(url: string): Promise<RTCPeerConnection> {
  const { code, appID } = await mint(url);
  document.title = code;
  const client = new SignalingClient({ url, appId: appID, side: "A", WebSocket: ws.WebSocket });
  const peer = new RTCPeerConnection({ iceServers: client.iceServers });
  peer.onicecandidate = ({ candidate }) => client.relay({ type: "ice", candidate });
  client.on.welcome = async ({ iceServers = [] }) => {
    peer.setConfiguration({ iceServers });
    await peer.setLocalDescription();
    client.relay(peer.localDescription);
  };
  client.on.relay = async (frame) => {
    switch (frame.type) {
      case "offer":
      case "answer":
        await peer.setRemoteDescription(frame);
        break;
      case "ice":
        if (frame.candidate) await peer.addIceCandidate(frame.candidate);
    }
  };
  client.on.state = (state: ClientState, why) => {
    if (why && !why.retries) alert(`${state}: ${why.detail} (${why.code})`);
  };
  return peer;
}

export async function byPeer(url: string, code: string, camera: MediaStream): Promise<string> {
  const turn: IceServer[] = [{ urls: "turn:turn.example.com", username: "u", credential: "c" }];
  try {
    const peer = await connect({ url, code, rtc: { iceServers: turn } });
    const chat = peer.channel("chat");
    chat.onmessage = (data) => typeof data === "string" && alert(data);
    chat.onopen = () => chat.send("hello");
    for (const track of camera.getTracks()) peer.connection?.addTrack(track, camera);
    return (await peer.closed).why;
  } catch (error) {
    if (error instanceof RendezvousError && error.code === "code_gone") return "Wrong code";
    throw error;
  }
}

/** What a page keeps for a reload, and a client that may be open already. */
export async function again(url: string, code?: string, client?: SignalingClient): Promise<Peer> {
  const { appId, side, sid } = client ?? {};
  try {
    if (client) return await connect({ url, code, client, appId, side, sid });
    const linked = new URLSearchParams(location.search).get("code");
    return await connect({ url, code: linked, sid: sessionStorage.getItem("sid") });
  } catch (error) {
    if (error instanceof SameError) alert(error.retryAfterMs);
    throw error;
  }
}

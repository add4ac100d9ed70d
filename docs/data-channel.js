import { iceServers, mint, redeem, SignalingClient } from "nt-signal/client";

/** Makes a code for `tell` to show, and waits for whoever enters it: an open RTCDataChannel. */
export async function invite(url, tell) {
  const { code, appID } = await mint(url);
  tell(code);
  return connect(url, appID, "A");
}

/** Connects to whoever made this code: an open RTCDataChannel. */
export async function join(url, code) {
  const { appID } = await redeem(url, code);
  return connect(url, appID, "B");
}

function connect(url, appId, side) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const client = new SignalingClient({ url, appId, side, on: { peerJoined, relay } });
  let peer;
  let turn = Promise.resolve();

  // TURN is given to those who are paired: asked for when both are there. Side A begins.
  function peerJoined() {
    if (side === "A") turn = turn.then(() => begin().then(offer)).catch(reject);
  }
  async function begin() {
    peer = new RTCPeerConnection(await iceServers(url, appId, side));
    const channel = peer.createDataChannel("data", { negotiated: true, id: 0 });
    channel.onopen = () => resolve(channel);
    peer.onicecandidate = ({ candidate }) => client.relay({ type: "ice", candidate });
  }
  async function offer() {
    await peer.setLocalDescription();
    client.relay(peer.localDescription.toJSON());
  }
  // One after the other: a candidate must find the description that it belongs to.
  function relay(frame) {
    turn = turn.then(() => received(frame)).catch(reject);
  }
  async function received(frame) {
    if (frame.type === "ice") return peer.addIceCandidate(frame.candidate);
    if (frame.type === "offer") await begin();
    await peer.setRemoteDescription(frame);
    if (frame.type === "offer") await offer();
  }
  return promise;
}

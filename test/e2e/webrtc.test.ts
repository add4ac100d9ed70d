import { expect, test } from "bun:test";
import { testServer } from "../support/server.ts";
import { WebRtcPeer } from "../support/webrtc.ts";

test("two WebRTC peers find each other by a code and then talk without the server", async () => {
  await using server = await testServer();
  const { code, appID } = await server.mint();
  await using a = await WebRtcPeer.join(server.ws, appID, "A");

  const redeemed = (await (await server.redeem(code)).json()) as { readonly appID: string };
  await using b = await WebRtcPeer.join(server.ws, redeemed.appID, "B");
  await Promise.all([a.connected(), b.connected()]);

  await a.send("hello from A");
  await b.send("hello from B");
  expect(await b.next()).toBe("hello from A");
  expect(await a.next()).toBe("hello from B");

  for (const peer of [a, b]) {
    peer.signaling.send({ type: "telemetry", event: "ice-connected", mode: "host" });
    await peer.signaling.settled();
  }
  expect(await server.metric('nt_session_established_total{mode="host"}')).toBe(1);
  expect(await server.metric('nt_signal_messages_total{type="offer"}')).toBe(1);
  expect(await server.metric('nt_signal_messages_total{type="answer"}')).toBe(1);
});

test("the data channel outlives signaling", async () => {
  await using server = await testServer();
  const { appID } = await server.mint();
  await using a = await WebRtcPeer.join(server.ws, appID, "A");
  await using b = await WebRtcPeer.join(server.ws, appID, "B");
  await Promise.all([a.connected(), b.connected()]);
  await server.stop();
  expect(await a.signaling.closed).toMatchObject({ code: 1001 });
  await a.send("still here");
  expect(await b.next()).toBe("still here");
});

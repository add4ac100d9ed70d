import { type Closed, TestClient } from "./client.ts";
import { within } from "./waiting.ts";

export interface OpenPair {
  /** How the server ended both sockets, once it has. */
  closed(): Promise<readonly Closed[]>;
}

/**
 * What every user of a server does, on one that runs: a code is minted and redeemed, once, two peers
 * meet, and a frame crosses unchanged. Both sockets stay open.
 */
export async function walkThrough(
  http: string,
  report: (step: string, result: string) => void,
): Promise<OpenPair> {
  const minted = (await (await post(`${http}/rendezvous/code`, {})).json()) as {
    code: string;
    appID: string;
  };
  const redeemed = await post(`${http}/rendezvous/redeem`, { code: minted.code });
  const { appID } = (await redeemed.json()) as { appID: string };
  if (appID !== minted.appID) throw new Error("redeem gave another room");
  const again = await post(`${http}/rendezvous/redeem`, { code: minted.code });
  if (again.status !== 410) throw new Error(`second redeem: ${again.status}`);
  report("mint, redeem, redeem again", "200, 200, 410");

  const ws = http.replace("http", "ws");
  const a = await TestClient.open(ws, appID, "A");
  const b = await TestClient.open(ws, appID, "B");
  await Promise.all([a.nextOf("room_full"), b.nextOf("room_full")]);
  const offer = '{"type":"offer",  "sdp":"v=0"}';
  a.send(offer);
  if ((await b.nextText()) !== offer) throw new Error("the offer was changed on its way");
  report("room_full, relay", "byte for byte");
  return { closed: () => within("both closes", Promise.all([a.closed, b.closed])) };
}

function post(url: string, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
}

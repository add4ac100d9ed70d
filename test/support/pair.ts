import { type ClientOptions, TestClient } from "./client.ts";

export interface PairOptions {
  readonly appId?: string;
  readonly a?: ClientOptions;
  readonly b?: ClientOptions;
}

/** Two clients in one room, both of which have heard that it is full, and nothing else yet. */
export interface Pair extends AsyncDisposable {
  readonly appId: string;
  readonly a: TestClient;
  readonly b: TestClient;
}

export async function openPair(
  server: { readonly ws: string },
  { appId = crypto.randomUUID(), a: optionsA, b: optionsB }: PairOptions = {},
): Promise<Pair> {
  const a = await TestClient.open(server.ws, appId, "A", optionsA);
  const b = await TestClient.open(server.ws, appId, "B", optionsB);
  for (const peer of [a, b]) await peer.nextOf("room_full");
  for (const [peer, options] of [
    [a, optionsA],
    [b, optionsB],
  ] as const) {
    if (options?.v2) await peer.nextOf("peer_joined");
  }
  return {
    appId,
    a,
    b,
    async [Symbol.asyncDispose]() {
      await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
    },
  };
}

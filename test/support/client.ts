import { Changes, within } from "./waiting.ts";

export interface Frame {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export interface ClientOptions {
  readonly sid?: string;
  readonly v2?: boolean;
}

export interface ConnectOptions {
  /** Subprotocols to offer. */
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** A WebSocket client that keeps what it hears until a test asks for it. */
export class TestClient implements AsyncDisposable {
  /** Texts as they came, not yet asked for. */
  readonly texts: string[] = [];
  readonly closed: Promise<Closed>;
  isClosed = false;
  private readonly changes = new Changes();

  private constructor(readonly socket: WebSocket) {
    socket.addEventListener("message", ({ data }) => {
      this.texts.push(String(data));
      this.changes.changed();
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.isClosed = true;
        this.changes.changed();
        resolve({ code, reason });
      });
    });
  }

  /** Resolves when the socket is open and the server has its first frame, a ping. */
  static open(
    base: string,
    appId: string,
    side: string,
    { sid, v2 }: ClientOptions = {},
  ): Promise<TestClient> {
    const url = `${base}/ws?appID=${appId}&side=${side}${sid === undefined ? "" : `&sid=${sid}`}`;
    return TestClient.connect(url, v2 ? { protocols: ["nt.v2"] } : {});
  }

  /** As `open`, for a URL written out and an upgrade request of one's own. */
  static async connect(url: string, options: ConnectOptions = {}): Promise<TestClient> {
    const all = { tls: { rejectUnauthorized: false }, ...options };
    const client = new TestClient(new WebSocket(url, all as never));
    await within(
      `${url} to open`,
      new Promise<void>((resolve, reject) => {
        client.socket.addEventListener("open", () => resolve());
        client.socket.addEventListener("close", () => reject(new Error("was refused")));
      }),
    );
    await within(`${url} to answer a ping`, Promise.race([client.ponged(), client.closed]));
    return client;
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next text, in order. */
  nextText(what = "a frame"): Promise<string> {
    return this.changes.until(what, () => {
      if (this.texts.length > 0) return this.texts.shift();
      if (this.isClosed) throw new Error(`The socket closed before ${what}`);
      return undefined;
    });
  }

  async next(what?: string): Promise<Frame> {
    return JSON.parse(await this.nextText(what)) as Frame;
  }

  /** The next `count` texts, in order. */
  async nextTexts(count: number): Promise<readonly string[]> {
    const texts: string[] = [];
    while (texts.length < count) texts.push(await this.nextText());
    return texts;
  }

  /** The next frame of this type; frames of other types before it are skipped. */
  async nextOf(type: string): Promise<Frame> {
    for (;;) {
      const frame = await this.next(`a frame of type ${type}`);
      if (frame.type === type) return frame;
    }
  }

  /**
   * Everything that the server had sent by now: it has, when the pong of a ping is back. A v1
   * client can't ping by a frame, so the ping is one of the protocol's.
   */
  async settled(): Promise<readonly Frame[]> {
    await within("a pong", this.ponged());
    return this.texts.splice(0).map((text) => JSON.parse(text) as Frame);
  }

  private ponged(): Promise<void> {
    return new Promise((resolve) => {
      this.socket.addEventListener("pong" as "message", () => resolve(), { once: true });
      (this.socket as unknown as { ping(): void }).ping();
    });
  }

  close(): Promise<Closed> {
    this.socket.close(1000);
    return within("the socket to close", this.closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }
}

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

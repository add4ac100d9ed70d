import { mailboxTransport } from "@noisytransfer/transport";
import { Changes, within } from "../support/waiting.ts";

export interface MailboxOptions {
  readonly room: string;
  readonly side: "A" | "B";
  readonly sessionId?: string;
  readonly deliveredUpTo?: number;
}

/**
 * The published `mailboxTransport`, whose network a test can cut. Its own `close` does nothing once
 * it has met a first cut: its socket then reconnects for ever, unless it is disposed of here.
 */
export class PublishedMailbox implements AsyncDisposable {
  private readonly messages: unknown[] = [];
  private readonly changes = new Changes();
  /** Resolves when the transport takes itself for closed: at its first cut. */
  readonly ended: Promise<void>;

  private constructor(
    private readonly transport: Awaited<ReturnType<typeof mailboxTransport>>,
    private readonly network: Network,
  ) {
    transport.onMessage((message: unknown) => {
      this.messages.push(message);
      this.changes.changed();
    });
    this.ended = new Promise((resolve) => void transport.onClose(() => resolve()));
  }

  static async open(base: string, options: MailboxOptions): Promise<PublishedMailbox> {
    const network = new Network();
    const transport = await network.during(() => mailboxTransport(`${base}/ws`, options));
    return new PublishedMailbox(transport, network);
  }

  /** Queued by the transport while its socket isn't open. */
  send(message: { readonly type: string; readonly [field: string]: unknown }): void {
    this.transport.send(message);
  }

  /** What the application hears: mail, and frames that are none. */
  next(): Promise<unknown> {
    return this.changes.until("a message", () => this.messages.shift());
  }

  async nextOnes(count: number): Promise<readonly unknown[]> {
    const messages: unknown[] = [];
    while (messages.length < count) messages.push(await this.next());
    return messages;
  }

  /** Breaks its connection off, as a network does. */
  async cut(): Promise<void> {
    this.network.cut();
    await within("the transport to notice the cut", this.ended);
  }

  /** Resolves when the transport's socket has come back after a cut. */
  reconnected(): Promise<void> {
    return this.network.openedTimes("the transport's socket to reconnect", 2);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.transport.close();
    this.network.stop();
  }
}

/** Stands for the global `WebSocket` where the transport can't be given a constructor. */
class Network {
  private readonly sockets: WebSocket[] = [];
  private opened = 0;
  private stopped = false;
  private readonly changes = new Changes();

  /** Runs `make` with a `WebSocket` that this network knows of; `make` takes it at once. */
  during<T>(make: () => T): T {
    const real = globalThis.WebSocket;
    const connect = (url: string) => this.connect(real, url);
    // Called with `new`, a function that returns an object gives just that.
    const stand = function WebSocket(url: string) {
      return connect(url);
    };
    globalThis.WebSocket = stand as unknown as typeof globalThis.WebSocket;
    try {
      return make();
    } finally {
      globalThis.WebSocket = real;
    }
  }

  cut(): void {
    for (const socket of this.sockets) socket.terminate();
  }

  stop(): void {
    this.stopped = true;
    this.cut();
  }

  async openedTimes(what: string, times: number): Promise<void> {
    await this.changes.until(what, () => this.opened >= times);
  }

  private connect(real: typeof WebSocket, url: string): EventTarget {
    // What never opens and never closes is not tried again.
    if (this.stopped) return new EventTarget();
    const socket = new real(url);
    this.sockets.push(socket);
    socket.addEventListener("open", () => {
      this.opened++;
      this.changes.changed();
    });
    return socket;
  }
}

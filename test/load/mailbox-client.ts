import { Changes } from "../support/waiting.ts";

/** A mail as the application got it. */
export interface Heard {
  readonly seq: number;
  readonly payload: string;
}

export interface MailboxClientOptions {
  readonly ws: string;
  readonly appId: string;
  readonly side: "A" | "B";
  readonly retryMs: number;
  /** How often a ping is sent; a connection that has not answered the last one is given up. */
  readonly silenceMs: number;
}

/**
 * A mailbox client of the first dialect as it stands in the field: no ids, no copy of what it wrote,
 * every frame handed on, a stable `sid`, and back after every close.
 */
export class MailboxClient implements Disposable {
  /** What the application heard, one list for each connection. */
  readonly heard: Heard[][] = [];
  /** What each connection had said in its hello. */
  readonly watermarks: number[] = [];
  readonly changes = new Changes();
  /** Mails written, on whichever connection, and since the current one opened. */
  written = 0;
  writtenHere = 0;
  private readonly sid = crypto.randomUUID();
  private deliveredUpTo = 0;
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: MailboxClientOptions) {
    this.connect();
  }

  get opened(): number {
    return this.heard.length;
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Writes mail for the other side; false when there is no connection to write it to. */
  send(payload: string): boolean {
    if (!this.isOpen) return false;
    this.write({ type: "send", to: this.options.side === "A" ? "B" : "A", payload });
    this.written++;
    this.writtenHere++;
    this.changes.changed();
    return true;
  }

  [Symbol.dispose](): void {
    this.drop();
  }

  private connect(): void {
    const { ws, appId, side, silenceMs } = this.options;
    const socket = new WebSocket(`${ws}/ws?appID=${appId}&side=${side}&sid=${this.sid}`);
    this.socket = socket;
    let ponged = true;
    this.timer = setInterval(() => {
      if (!ponged) return this.reconnect();
      ponged = false;
      if (this.isOpen) (socket as unknown as { ping(): void }).ping();
    }, silenceMs);
    socket.addEventListener("open", () => {
      if (socket !== this.socket) return;
      this.writtenHere = 0;
      this.heard.push([]);
      this.watermarks.push(this.deliveredUpTo);
      this.write({ type: "hello", sessionId: this.sid, deliveredUpTo: this.deliveredUpTo });
      this.changes.changed();
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.socket) this.hear(JSON.parse(String(data)) as Heard & { type: string });
    });
    socket.addEventListener("pong" as "message", () => {
      ponged = true;
    });
    socket.addEventListener("close", () => {
      if (socket === this.socket) this.reconnect();
    });
  }

  private reconnect(): void {
    this.drop();
    this.timer = setTimeout(() => this.connect(), this.options.retryMs);
  }

  private drop(): void {
    clearInterval(this.timer);
    this.socket?.terminate();
    this.socket = undefined;
  }

  private hear({ type, seq, payload }: Heard & { type: string }): void {
    if (type !== "deliver") return;
    this.heard.at(-1)?.push({ seq, payload });
    this.deliveredUpTo = Math.max(this.deliveredUpTo, seq);
    this.write({ type: "delivered", upTo: this.deliveredUpTo });
    this.changes.changed();
  }

  private write(frame: object): void {
    this.socket?.send(JSON.stringify(frame));
  }
}

import net from "node:net";
import { Changes } from "./changes.ts";

export interface KeptAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/**
 * One TCP connection that speaks HTTP/1.1 as slowly and as often as a test likes: it was there
 * before the server began to turn new ones away.
 */
export class KeptConnection implements AsyncDisposable {
  private text = "";
  private ended = false;
  private readonly changes = new Changes();

  private constructor(private readonly socket: net.Socket) {
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      this.text += String(chunk);
      this.changes.changed();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.ended = true;
      this.changes.changed();
    });
  }

  /** Resolves when the server has accepted it, which a first answer shows. */
  static async open(url: URL): Promise<KeptConnection> {
    const socket = net.connect({ host: url.hostname, port: Number(url.port) });
    const connection = new KeptConnection(socket);
    await connection.ask("GET /healthz");
    return connection;
  }

  /** Resolves when the kernel has taken it. */
  write(text: string): Promise<void> {
    return new Promise((resolve) => this.socket.write(text, () => resolve()));
  }

  /** Sends `POST /path` and so on, without a body, and gives the answer. */
  async ask(line: string, headers: readonly string[] = []): Promise<KeptAnswer> {
    await this.write([`${line} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n"));
    return this.answer(line);
  }

  /** The next answer. */
  async answer(what = "the request"): Promise<KeptAnswer> {
    await this.changes.until(`an answer to ${what}`, () => this.isWhole() || this.ended);
    if (!this.isWhole()) throw new Error(`The connection ended before an answer to ${what}`);
    const { status, headers, bodyAt, end } = this.parse();
    const body = this.text.slice(bodyAt, end);
    this.text = this.text.slice(end);
    return { status, headers, body };
  }

  /** Resolves when the server has ended it. */
  over(): Promise<void> {
    return this.changes.until("the connection to end", () => this.ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  private isWhole(): boolean {
    return this.text.includes("\r\n\r\n") && this.text.length >= this.parse().end;
  }

  private parse() {
    const bodyAt = this.text.indexOf("\r\n\r\n") + 4;
    const [statusLine = "", ...lines] = this.text.slice(0, bodyAt - 4).split("\r\n");
    const headers = new Headers();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    const status = Number(statusLine.split(" ")[1]);
    return { status, headers, bodyAt, end: bodyAt + Number(headers.get("content-length") ?? 0) };
  }
}

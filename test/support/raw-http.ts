import net from "node:net";
import tls from "node:tls";
import { Changes, within } from "./waiting.ts";

export interface RawRequest {
  readonly method?: string;
  /** Path and query. */
  readonly target: string;
  /** Sent as they stand, after Host. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Whom the server sees: on Linux every 127.x.y.z is an address of this machine. */
  readonly localAddress?: string;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What came in answer to a request, and the connection it came over. */
export interface RawExchange {
  readonly status: number;
  readonly headers: Headers;
  /** Read after the head so far. */
  readonly rest: Buffer;
  readonly socket: net.Socket;
}

/** One HTTP request over a connection of its own, with full say over address and headers. */
export async function rawRequest(base: string, request: RawRequest): Promise<RawAnswer> {
  const { status, headers, rest, socket } = await exchange(base, {
    ...request,
    headers: { connection: "close", ...request.headers },
  });
  let body = rest;
  const ended = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      body = Buffer.concat([body, chunk]);
    });
    socket.on("close", () => resolve());
  });
  socket.resume();
  const length = status === 101 || status === 204 ? "0" : headers.get("content-length");
  if (length === null || body.length < Number(length)) {
    await within(`the body of ${request.target}`, ended);
  }
  socket.destroy();
  return { status, headers, body: body.toString() };
}

/** Sends the request and reads the head of the answer; the socket is paused right behind it. */
export async function exchange(base: string, request: RawRequest): Promise<RawExchange> {
  const { method = "GET", target, headers = {}, body = "", localAddress } = request;
  const { protocol, hostname, port, host } = new URL(base);
  const to = {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port),
    ...(localAddress ? { localAddress } : {}),
  };
  const secure = protocol === "https:" || protocol === "wss:";
  const socket = secure ? tls.connect({ ...to, rejectUnauthorized: false }) : net.connect(to);
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: ${host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  const head = readHead(socket);
  socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  return within(`an answer to ${method} ${target}`, head);
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
    const connection = KeptConnection.connect(url);
    await connection.ask("GET /healthz");
    return connection;
  }

  /** The server may not have accepted it yet. */
  static connect(url: URL): KeptConnection {
    return new KeptConnection(net.connect({ host: url.hostname, port: Number(url.port) }));
  }

  /** Resolves when the kernel has taken it. */
  write(text: string): Promise<void> {
    return new Promise((resolve) => this.socket.write(text, () => resolve()));
  }

  /** Sends `POST /path` and so on, without a body, and gives the answer. */
  async ask(line: string, headers: readonly string[] = []): Promise<RawAnswer> {
    await this.write([`${line} HTTP/1.1`, "Host: localhost", ...headers, "", ""].join("\r\n"));
    return this.answer(line);
  }

  /** The next answer. */
  async answer(what = "the request"): Promise<RawAnswer> {
    await this.changes.until(`an answer to ${what}`, () => this.isWhole() || this.ended);
    if (!this.isWhole()) throw new Error(`The connection ended before an answer to ${what}`);
    const { status, headers, bodyAt, end } = this.parse();
    const body = this.text.slice(bodyAt, end);
    this.text = this.text.slice(end);
    return { status, headers, body };
  }

  /** Resolves when the server has ended it. */
  async over(): Promise<void> {
    await this.changes.until("the connection to end", () => this.ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  private isWhole(): boolean {
    return this.text.includes("\r\n\r\n") && this.text.length >= this.parse().end;
  }

  private parse() {
    const bodyAt = this.text.indexOf("\r\n\r\n") + 4;
    const { status, headers } = parseHead(this.text.slice(0, bodyAt - 4));
    return { status, headers, bodyAt, end: bodyAt + Number(headers.get("content-length") ?? 0) };
  }
}

function readHead(socket: net.Socket): Promise<RawExchange> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const onClose = () => reject(new Error("the connection closed before an answer"));
    const onData = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      const end = read.indexOf("\r\n\r\n");
      if (end === -1) return;
      socket.pause();
      socket.off("data", onData);
      socket.off("error", reject);
      socket.off("close", onClose);
      resolve({
        ...parseHead(read.toString("latin1", 0, end)),
        rest: read.subarray(end + 4),
        socket,
      });
    };
    socket.on("data", onData);
    socket.on("error", reject);
    socket.on("close", onClose);
  });
}

function parseHead(head: string): { status: number; headers: Headers } {
  const [statusLine = "", ...lines] = head.split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { status: Number(statusLine.split(" ")[1]), headers };
}

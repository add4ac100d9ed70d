import net from "node:net";
import tls from "node:tls";
import { within } from "./client.ts";

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
      resolve({ ...parseHead(read.subarray(0, end)), rest: read.subarray(end + 4), socket });
    };
    socket.on("data", onData);
    socket.on("error", reject);
    socket.on("close", onClose);
  });
}

function parseHead(head: Buffer): { status: number; headers: Headers } {
  const [statusLine = "", ...lines] = head.toString("latin1").split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { status: Number(statusLine.split(" ")[1]), headers };
}

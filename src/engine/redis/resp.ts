import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";

/** An error reply: its first word tells the kind. */
export class ReplyError extends Error {}

export interface RespOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly ca: string | undefined;
  readonly timeoutMs: number;
}

/**
 * A conversation in RESP2, one command after the other, for what Bun's client does not tell: why a
 * connection comes to nothing. A reply is a text, a list of texts, or `ReplyError`.
 */
export async function openResp(options: RespOptions) {
  const { host, port, ca, timeoutMs } = options;
  const socket = options.tls
    ? tls.connect({ host, port, ...(ca === undefined ? {} : { ca }), ...serverName(host) })
    : net.connect({ host, port });
  socket.setTimeout(timeoutMs, () => socket.destroy(timedOut()));
  await once(socket, options.tls ? "secureConnect" : "connect");

  let read = Buffer.alloc(0);
  let wake: (fault?: Error) => void = () => {};
  socket.on("data", (chunk: Buffer) => {
    read = Buffer.concat([read, chunk]);
    wake();
  });
  let fault: Error | undefined;
  const ended = (error?: Error) => {
    fault ??= error ?? new Error("closed");
    wake();
  };
  socket.on("error", ended);
  socket.on("close", () => ended());

  async function more(): Promise<void> {
    if (fault) throw fault;
    await new Promise<void>((resolve) => {
      wake = () => resolve();
    });
    if (fault) throw fault;
  }

  async function line(): Promise<string> {
    for (let end = read.indexOf("\r\n"); ; end = read.indexOf("\r\n")) {
      if (end === -1) {
        await more();
        continue;
      }
      const text = read.toString("utf8", 0, end);
      read = read.subarray(end + 2);
      return text;
    }
  }

  async function bulk(bytes: number): Promise<string> {
    if (bytes < 0) return "";
    while (read.length < bytes + 2) await more();
    const text = read.toString("utf8", 0, bytes);
    read = read.subarray(bytes + 2);
    return text;
  }

  async function reply(): Promise<string | string[]> {
    const head = await line();
    const rest = head.slice(1);
    switch (head[0]) {
      case "+":
      case ":":
        return rest;
      case "-":
        throw new ReplyError(rest);
      case "$":
        return bulk(Number(rest));
      case "*": {
        const list: string[] = [];
        for (let i = 0; i < Number(rest); i++) list.push(String(await reply()));
        return list;
      }
      default:
        throw new Error("not Redis");
    }
  }

  return {
    ask(...words: readonly string[]): Promise<string | string[]> {
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join("")}`);
      return reply();
    },
    close: () => socket.destroy(),
  };
}

/** A name, where there is one: an address is none (RFC 6066 section 3). */
function serverName(host: string) {
  return net.isIP(host) === 0 ? { servername: host } : {};
}

function timedOut(): Error {
  return Object.assign(new Error("timed out"), { code: "ETIMEDOUT" });
}

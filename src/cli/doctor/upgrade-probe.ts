import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { inUrl } from "../own-address.ts";
import type { Target } from "./target.ts";

/**
 * The status that an upgrade of `path` is answered with, which no WebSocket client tells. Undefined
 * when no HTTP answer comes within `timeoutMs`.
 */
export function upgradeStatus(
  target: Target,
  path: string,
  clock: Clock,
  timeoutMs: number,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = dial(target);
    const end = (status: number | undefined) => {
      cancel();
      resolve(status);
      socket.destroy();
    };
    const cancel = clock.after(timeoutMs, () => end(undefined));
    let head = "";
    socket.on(target.secure ? "secureConnect" : "connect", () =>
      socket.write(handshake(target, path)),
    );
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1");
      const line = /^HTTP\/1\.[01] (\d{3})[^\n]*\n/.exec(head);
      if (line !== null) end(Number(line[1]));
    });
    socket.on("error", () => end(undefined));
    socket.on("close", () => end(undefined));
  });
}

function dial({ host, port, secure, isAddress, insecure }: Target): Socket {
  if (!secure) return connectPlain({ host, port });
  const name = isAddress ? {} : { servername: host };
  return connectTls({ host, port, ...name, rejectUnauthorized: !insecure });
}

/** RFC 6455 section 4.1. */
function handshake({ host, port, basePath }: Target, path: string): string {
  return [
    `GET ${basePath}${path} HTTP/1.1`,
    `Host: ${inUrl(host)}:${port}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    // Any 16 bytes will do: only caches could be fooled by a key that comes again.
    "Sec-WebSocket-Key: bnQtc2lnbmFsIGRvYy4uLg==",
    "",
    "",
  ].join("\r\n");
}

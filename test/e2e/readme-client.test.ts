import { expect, test } from "bun:test";
import { join } from "node:path";
import { RTCPeerConnection } from "werift";
import { testServer } from "../support/server.ts";

const readme = Bun.file(join(import.meta.dir, "../../README.md"));

interface Channel {
  onmessage: (event: { data: string }) => void;
  send(text: string): void;
}
type Connect = (
  url: string,
  options: { code?: string; show?: (code: string) => void },
) => Promise<Channel>;

/** A browser's stand-in that never leaves this machine. */
class LoopbackConnection extends RTCPeerConnection {
  static readonly all: RTCPeerConnection[] = [];

  constructor() {
    super({ iceServers: [], iceUseIpv6: false, iceAdditionalHostAddresses: ["127.0.0.1"] });
    LoopbackConnection.all.push(this);
  }
}

test("the README's client opens a data channel, as it stands there", async () => {
  const [, source = ""] = /```js\n(.*?)```/s.exec(await readme.text()) ?? [];
  const body = `${source.replace("export ", "")}; return connect;`;
  const connect = new Function("RTCPeerConnection", body)(LoopbackConnection) as Connect;

  await using server = await testServer();
  const minted = Promise.withResolvers<string>();
  const opened = connect(server.http, { show: minted.resolve });
  const bob = await connect(server.http, { code: await minted.promise });
  const ann = await opened;
  const heard = new Promise<string>((resolve) => {
    ann.onmessage = ({ data }) => resolve(data);
  });
  bob.send("Hello, Ann");
  expect(await heard).toBe("Hello, Ann");
  // Each says hello, so that neither is kept waiting for its room_full.
  expect(await server.metric('nt_ws_messages_total{type="hello"}')).toBe(2);
  await Promise.all(LoopbackConnection.all.map((connection) => connection.close()));
  await expect(connect(server.http, { code: "0000" })).rejects.toThrow("unknown, used or expired");
});

import type { Server } from "bun";
import type { Account } from "../../src/base/account.ts";
import { newAppId } from "../../src/base/ids.ts";
import type { Peer } from "../../src/signaling/peer.ts";
import type { Flow } from "../../src/ws/flow.ts";
import { PeerSocket, type Socket } from "../../src/ws/peer-socket.ts";
import { fakeClient } from "./fake-connection.ts";

/** A socket whose buffer a test fills and drains. */
export class FakeSocket {
  /** Bytes that the network has not taken. */
  buffered = 0;
  /** `pause`, `resume`, `ping`, `close 1013 slow peer`, `terminate`, in order. */
  readonly calls: string[] = [];
  readonly readyState = WebSocket.OPEN;
  /** From then on it is in no topic. */
  closed = false;
  /** Called by `terminate`, as the runtime then reports the end. */
  onTerminate = (): void => {};

  getBufferedAmount(): number {
    return this.buffered;
  }
  readonly sent: string[] = [];
  send(text: string): number {
    this.sent.push(text);
    this.buffered += text.length;
    return text.length;
  }
  cork(run: () => void): void {
    run();
  }
  subscribe(): void {}
  unsubscribe(): void {}
  pause(): void {
    this.calls.push("pause");
  }
  resume(): void {
    this.calls.push("resume");
  }
  ping(): void {
    this.calls.push("ping");
  }
  close(code: number, text: string): void {
    this.calls.push(`close ${code} ${text}`);
    this.closed = true;
  }
  terminate(): void {
    this.calls.push("terminate");
    this.closed = true;
    this.onTerminate();
  }
}

export interface FakeLink {
  /** The real one, around a fake socket. */
  readonly link: PeerSocket;
  readonly ws: FakeSocket;
}

/** A link in a room of its own: what is published to its topic is buffered in its socket. */
const identity = {
  appId: newAppId(),
  side: "A",
  sid: "",
  mailboxClient: false,
  v2: false,
} as const;
export function fakeLink(flow: Flow, accounts: readonly Account[] = fakeClient.accounts): FakeLink {
  const ws = new FakeSocket();
  const publish = (_topic: string, text: string) => {
    return ws.closed ? 0 : ws.send(text);
  };
  const server = { publish } as unknown as Server<PeerSocket>;
  const link = new PeerSocket({ ...fakeClient, accounts }, server, flow);
  link.enters(identity);
  link.ws = ws as unknown as Socket;
  link.heard();
  link.peer = { drained() {}, closed() {} } as unknown as Peer;
  return { link, ws };
}

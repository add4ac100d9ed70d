import { closes, closeText, type ServerClose } from "../../src/protocol/closes.ts";
import type {
  Connection,
  PauseReason,
  PeerIdentity,
  SignalingContext,
} from "../../src/signaling/context.ts";
import type { Member, Served, Share } from "../../src/signaling/fair-queue.ts";
import { someClient } from "./some-client.ts";

/** A socket that is nobody's: what was done to it, told in order. */
export class FakeConnection implements Connection {
  readonly id = "fake";
  /** Texts sent, the server's own and relayed ones. */
  readonly sent: string[] = [];
  /** Everything else: `pause 1`, `ping <nonce>`, `close 1008 side A busy`, … */
  readonly calls: string[] = [];
  unread = 0;
  roundTripMs = 0;
  /** A minute before a fake clock's start. */
  heardAt = -60_000;
  room = true;
  congested = false;
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  inbox: Served | undefined;
  busyUntil = 0;

  constructor(public identity: PeerIdentity | undefined = undefined) {}

  enters(identity: PeerIdentity | undefined): void {
    this.identity = identity;
  }

  send(text: string): number {
    this.sent.push(text);
    return Buffer.byteLength(text);
  }
  sendLater(text: Promise<string>): void {
    void text.then((known) => this.send(known));
  }
  relay(text: string): number {
    return this.send(text);
  }
  unreadBytes(): number {
    return this.unread;
  }
  hasRoom(): boolean {
    return this.room;
  }
  joinTopic(): void {
    this.calls.push("join topic");
  }
  leaveTopic(): void {
    this.calls.push("leave topic");
  }
  ping(nonce: string): void {
    this.calls.push(`ping ${nonce}`);
  }
  pause(reason: PauseReason): void {
    this.calls.push(`pause ${reason}`);
  }
  resume(reason: PauseReason): void {
    this.calls.push(`resume ${reason}`);
  }
  readForATurn(): void {
    this.calls.push("read for a turn");
  }
  close(reason: ServerClose): void {
    this.calls.push(`close ${closes[reason].code} ${closeText(reason, "A")}`);
  }
  terminate(): void {
    this.calls.push("terminate");
  }
}

/** Who is behind it: counted under one address. */
export const fakeClient = someClient("192.0.2.1");

/** What a context has for connections that come without a room: such do not come to these tests. */
export const noEntrance: Pick<SignalingContext, "roomTtlMs" | "askForRoom" | "describeNoSeat"> = {
  roomTtlMs: 600_000,
  askForRoom: () => ({ code: "no_room", detail: "" }),
  describeNoSeat: () => ({ code: "rooms_full", detail: "" }),
};

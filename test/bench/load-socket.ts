import type { Socket } from "bun";
import { clientFrame, opcodes } from "./frames.ts";

/** What is done with all that comes. */
export interface Hearing {
  opened(socket: LoadSocket): void;
  /** A text frame: `bytes` from `start` to `end`, to be read at once. */
  text(socket: LoadSocket, bytes: Buffer, start: number, end: number): void;
  /** All that came at once has been heard. */
  turn?(socket: LoadSocket): void;
  /** `clean`: after a close frame from the other end. */
  closed(socket: LoadSocket, clean: boolean): void;
}

export interface Door {
  readonly port: number;
  readonly appId: string;
  readonly side: "A" | "B";
  readonly sid?: string;
}

/**
 * A WebSocket client that costs next to nothing: it knows just enough of frames to find their ends.
 * A frame in fragments, which no server here sends, is an error.
 */
export class LoadSocket {
  /** For whoever uses it. */
  room = 0;
  side: "A" | "B";
  isOpen = false;
  /** Why there is no connection, where that is known. */
  fault = "";
  private sawClose = false;
  private isSilent = false;
  private socket: Socket<LoadSocket> | undefined;
  /** The start of a frame whose end has not come. */
  private partial: Buffer | undefined;
  /** What the kernel had no space for. */
  private unsent: Buffer | undefined;

  constructor(
    private readonly door: Door,
    private readonly hearing: Hearing,
  ) {
    this.side = door.side;
  }

  connect(): void {
    Bun.connect<LoadSocket>({
      hostname: "127.0.0.1",
      port: this.door.port,
      data: this,
      socket: handlers,
    }).catch((error: Error) => {
      this.fault = error.message;
      this.gone();
    });
  }

  /** `bytes` may be used again: what is not taken at once is copied. */
  send(bytes: Uint8Array): void {
    if (this.unsent !== undefined) {
      this.unsent = Buffer.concat([this.unsent, bytes]);
      return;
    }
    const rest = this.write(bytes);
    if (rest !== undefined) this.unsent = Buffer.from(rest);
  }

  /** Breaks the connection off (RST), so that no port waits for the rest. */
  terminate(): void {
    this.socket?.terminate();
  }

  /** Ends the connection without a close frame (FIN). */
  end(): void {
    this.socket?.end();
  }

  /** Stops reading. */
  pause(): void {
    this.socket?.pause();
  }

  /** Answers nothing any more and keeps the connection, as a client does whose network is gone. */
  fallSilent(): void {
    this.isSilent = true;
  }

  // ---- called by the handlers ----

  connected(socket: Socket<LoadSocket>): void {
    this.socket = socket;
    const { appId, side, sid } = this.door;
    const target = `/ws?appID=${appId}&side=${side}${sid === undefined ? "" : `&sid=${sid}`}`;
    this.send(
      Buffer.from(
        `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
    );
  }

  drained(): void {
    if (this.unsent !== undefined) this.unsent = this.write(this.unsent);
  }

  /** What the kernel did not take. */
  private write<B extends Uint8Array>(bytes: B): B | undefined {
    const written = Math.max(0, this.socket?.write(bytes) ?? 0);
    return written < bytes.length ? (bytes.subarray(written) as B) : undefined;
  }

  data(chunk: Buffer): void {
    if (this.isSilent) return;
    const bytes = this.partial === undefined ? chunk : Buffer.concat([this.partial, chunk]);
    const used = this.isOpen ? this.frames(bytes, 0) : this.answer(bytes);
    this.partial = used === bytes.length ? undefined : Buffer.from(bytes.subarray(used));
    this.hearing.turn?.(this);
  }

  /** Network errors end in a close as well; what is thrown while hearing is told. */
  faulted(error: Error): void {
    if (!("syscall" in error)) process.stderr.write(`${error.stack}\n`);
  }

  gone(): void {
    this.isOpen = false;
    this.hearing.closed(this, this.sawClose);
  }

  private answer(bytes: Buffer): number {
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) return 0;
    if (!bytes.subarray(0, 12).equals(switching)) {
      this.fault = bytes.toString("latin1", 0, bytes.indexOf("\r\n"));
      this.socket?.terminate();
      return bytes.length;
    }
    this.isOpen = true;
    this.hearing.opened(this);
    return this.frames(bytes, end + 4);
  }

  /** Where the first frame begins that is not complete. */
  private frames(bytes: Buffer, from: number): number {
    let at = from;
    while (at + 2 <= bytes.length) {
      const first = bytes[at] as number;
      let length = (bytes[at + 1] as number) & 0x7f;
      let start = at + 2;
      if (length === 126) {
        if (at + 4 > bytes.length) return at;
        length = bytes.readUInt16BE(at + 2);
        start = at + 4;
      } else if (length === 127) {
        if (at + 10 > bytes.length) return at;
        length = Number(bytes.readBigUInt64BE(at + 2));
        start = at + 10;
      }
      const end = start + length;
      if (end > bytes.length) return at;
      if (first === (0x80 | opcodes.text)) this.hearing.text(this, bytes, start, end);
      else this.control(first, bytes.subarray(start, end));
      at = end;
    }
    return at;
  }

  private control(first: number, payload: Buffer): void {
    switch (first) {
      case 0x80 | opcodes.ping:
        this.send(clientFrame(opcodes.pong, payload));
        return;
      case 0x80 | opcodes.pong:
        return;
      case 0x80 | opcodes.close:
        this.sawClose = true;
        return;
      default:
        throw new Error(`The server sent a frame that begins with ${first}`);
    }
  }
}

const switching = Buffer.from("HTTP/1.1 101");

const handlers = {
  open: (socket: Socket<LoadSocket>) => socket.data.connected(socket),
  data: (socket: Socket<LoadSocket>, chunk: Buffer) => socket.data.data(chunk),
  drain: (socket: Socket<LoadSocket>) => socket.data.drained(),
  close: (socket: Socket<LoadSocket>) => socket.data.gone(),
  error: (socket: Socket<LoadSocket>, error: Error) => socket.data.faulted(error),
};

import type net from "node:net";
import { exchange, type RawRequest } from "./raw-http.ts";
import { Changes, within } from "./waiting.ts";

/** RFC 6455 section 5.2. */
export const opcodes = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;
export type Opcode = (typeof opcodes)[keyof typeof opcodes];

export interface RawFrame {
  readonly opcode: Opcode;
  readonly fin: boolean;
  readonly payload: Buffer;
}

/** How a connection ended: by a close frame, or without one (undefined, as in a reset). */
export interface RawEnd {
  readonly code: number | undefined;
  readonly reason: string;
}

export interface RawClientOptions {
  readonly side?: string;
  readonly sid?: string;
  readonly appId?: string;
  /** Without a room in the URL, as clients of `nt.v2` may come. */
  readonly roomless?: true;
  readonly localAddress?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answer pings; true unless told otherwise. */
  readonly autoPong?: boolean;
  /** Pings at once and waits for the pong: it listens, and is sent all at once. True if not given. */
  readonly listens?: boolean;
}

/**
 * A WebSocket client that does to its connection what no library lets one do: stay silent, stop
 * reading, send what is no frame, vanish.
 */
export class RawClient implements AsyncDisposable {
  /** Whether pings are answered. A client that answers nothing and sends nothing seems gone. */
  autoPong: boolean;
  /** Pings that came, answered or not. */
  pings = 0;
  /** Bytes that came, frame headers included. */
  bytesRead = 0;
  /** Resolves when the TCP connection is over. */
  readonly ended: Promise<RawEnd>;
  private hasEnded = false;
  private end: RawEnd = { code: undefined, reason: "" };
  /** Text, binary and continuation frames that nobody asked for yet. */
  private readonly waiting: RawFrame[] = [];
  private readonly pongs: string[] = [];
  /** Bytes of a frame that is not complete. */
  private partial: Buffer[] = [];
  private partialBytes = 0;
  private neededBytes = 2;
  private readonly changes = new Changes();

  private constructor(
    readonly socket: net.Socket,
    rest: Buffer,
    autoPong: boolean,
  ) {
    this.autoPong = autoPong;
    socket.on("data", (chunk: Buffer) => this.read(chunk));
    socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      socket.on("close", () => {
        this.hasEnded = true;
        this.changes.changed();
        resolve(this.end);
      });
    });
    this.read(rest);
    socket.resume();
  }

  /** Comes to a side of a room, or fails with the status of the refusal. */
  static async open(base: string, options: RawClientOptions = {}): Promise<RawClient> {
    const {
      appId = crypto.randomUUID(),
      side = "A",
      sid,
      autoPong = true,
      listens = true,
    } = options;
    const { localAddress, roomless } = options;
    const room = `?appID=${appId}&side=${side}${sid === undefined ? "" : `&sid=${sid}`}`;
    const target = `/ws${roomless ? "" : room}`;
    const headers = { ...(roomless && { "Sec-WebSocket-Protocol": "nt.v2" }), ...options.headers };
    const { status, rest, socket } = await exchange(base, {
      ...upgradeRequest(target, headers),
      ...(localAddress ? { localAddress } : {}),
    });
    if (status === 101) {
      const client = new RawClient(socket, rest, autoPong);
      if (listens) await client.ponged(`${target} to answer a ping`);
      return client;
    }
    socket.destroy();
    throw new Error(`The upgrade of ${target} was refused with ${status}`);
  }

  /** The TCP connection is over. */
  get isOver(): boolean {
    return this.hasEnded;
  }

  // ---- sending ----

  send(text: string): void {
    this.sendFrame(opcodes.text, Buffer.from(text));
  }

  sendBinary(bytes: Uint8Array): void {
    this.sendFrame(opcodes.binary, bytes);
  }

  sendFrame(opcode: number, payload: Uint8Array = Buffer.alloc(0), fin = true): void {
    this.sendRaw(encodeFrame(opcode, payload, fin));
  }

  /** One message in frames of its own for each part (RFC 6455 section 5.4). */
  sendFragmented(opcode: number, parts: readonly Uint8Array[]): void {
    for (const [i, part] of parts.entries()) {
      this.sendFrame(i === 0 ? opcode : opcodes.continuation, part, i === parts.length - 1);
    }
  }

  sendClose(code = 1000, reason = ""): void {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    this.sendFrame(opcodes.close, payload);
  }

  /** Any bytes, also such as are no frame. */
  sendRaw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Resolves when the kernel has taken everything that was sent. */
  async flushed(): Promise<void> {
    const taken = new Promise<void>((resolve) =>
      this.socket.write(Buffer.alloc(0), () => resolve()),
    );
    await within(
      "the kernel to take what was sent",
      Promise.race([taken, this.ended.then(() => {})]),
    );
  }

  // ---- hearing ----

  /** The next frame that is no control frame, in order. */
  next(): Promise<RawFrame> {
    return this.until("a frame", () => this.waiting.shift());
  }

  async nextText(): Promise<string> {
    const { opcode, payload } = await this.next();
    if (opcode !== opcodes.text) throw new Error(`Expected a text frame, got opcode ${opcode}`);
    return payload.toString();
  }

  /** The server has pinged this often since the connection began. */
  async pinged(times = 1): Promise<void> {
    await this.until(`ping ${times}`, () => this.pings >= times);
  }

  /**
   * The server has handled everything sent so far, and all it had said by then is here: it has,
   * when it answers a ping. Gives the texts that came and were not asked for.
   */
  async settled(): Promise<readonly string[]> {
    const nonce = crypto.randomUUID();
    this.sendFrame(opcodes.ping, Buffer.from(nonce));
    await this.until("a pong", () => this.pongs.includes(nonce));
    return this.waiting.splice(0).map(({ payload }) => payload.toString());
  }

  private async ponged(what: string): Promise<void> {
    this.sendFrame(opcodes.ping);
    await this.changes.until(what, () => this.pongs.includes("") || this.hasEnded);
  }

  /** Stops reading: what the server sends piles up in the kernel and then in the server. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  // ---- ends ----

  /** Answers nothing any more and keeps the connection, as a peer does whose network is gone. */
  fallSilent(): void {
    this.autoPong = false;
  }

  /** Ends the sending half (FIN) and goes on reading. */
  halfClose(): void {
    this.socket.end();
  }

  /** Ends the connection without a close frame (FIN). */
  destroy(): void {
    this.socket.destroy();
  }

  /** Breaks the connection off (RST). */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await within("the connection to end", this.ended);
  }

  // ---- frames ----

  private read(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    this.partial.push(chunk);
    this.partialBytes += chunk.length;
    if (this.partialBytes < this.neededBytes) return;
    let bytes = Buffer.concat(this.partial);
    for (;;) {
      const { frame, size } = decodeFrame(bytes);
      if (frame === undefined) {
        this.neededBytes = size;
        break;
      }
      bytes = bytes.subarray(size);
      this.hear(frame);
    }
    this.partial = [bytes];
    this.partialBytes = bytes.length;
    this.changes.changed();
  }

  private hear(frame: RawFrame): void {
    const { opcode, payload } = frame;
    switch (opcode) {
      case opcodes.ping:
        this.pings++;
        if (this.autoPong) this.sendFrame(opcodes.pong, payload);
        return;
      case opcodes.pong:
        this.pongs.push(payload.toString());
        return;
      case opcodes.close:
        this.end = {
          code: payload.length < 2 ? undefined : payload.readUInt16BE(),
          reason: payload.subarray(2).toString(),
        };
        if (!this.autoPong) return;
        this.sendFrame(opcodes.close, payload.subarray(0, 2));
        this.socket.end();
        return;
      default:
        this.waiting.push(frame);
    }
  }

  private until<T>(what: string, find: () => T | undefined | false): Promise<T> {
    return this.changes.until(what, () => {
      const found = find();
      if (found !== undefined && found !== false) return found;
      if (this.hasEnded) throw new Error(`The connection ended first (${this.end.code})`);
      return undefined;
    });
  }
}

/** A valid upgrade request, but for the headers given. */
export function upgradeRequest(
  target: string,
  headers: Readonly<Record<string, string>> = {},
): RawRequest {
  return {
    target,
    headers: {
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString(
        "base64",
      ),
      ...headers,
    },
  };
}

/** A frame as clients send it: masked (RFC 6455 section 5.3). */
export function encodeFrame(opcode: number, payload: Uint8Array, fin = true): Buffer {
  const { length } = payload;
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const headBytes = 2 + lengthBytes + 4;
  const frame = Buffer.alloc(headBytes + length);
  frame[0] = (fin ? 0x80 : 0) | opcode;
  frame[1] = 0x80 | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2);
  if (lengthBytes === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  const mask = crypto.getRandomValues(new Uint8Array(4));
  frame.set(mask, headBytes - 4);
  for (let i = 0; i < length; i++) {
    frame[headBytes + i] = (payload[i] as number) ^ (mask[i & 3] as number);
  }
  return frame;
}

/** The first frame in `bytes` and its size, or only how many bytes are needed to go on. */
function decodeFrame(bytes: Buffer): { readonly frame?: RawFrame; readonly size: number } {
  if (bytes.length < 2) return { size: 2 };
  const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)];
  if (second & 0x80) throw new Error("The server masked a frame");
  const short = second & 0x7f;
  const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < headBytes) return { size: headBytes };
  let length = short;
  if (short === 126) length = bytes.readUInt16BE(2);
  if (short === 127) length = Number(bytes.readBigUInt64BE(2));
  const size = headBytes + length;
  if (bytes.length < size) return { size };
  const payload = bytes.subarray(headBytes, size);
  return { frame: { opcode: (first & 0x0f) as Opcode, fin: (first & 0x80) !== 0, payload }, size };
}

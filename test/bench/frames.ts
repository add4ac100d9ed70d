/** Frames as clients send them (RFC 6455 section 5.2), built once and sent many times. */

/** With a key that is not 0: servers take a short cut for that one. */
const maskingKey = [0x5a, 0x17, 0xc3, 0x88] as const;

export const opcodes = { text: 0x1, close: 0x8, ping: 0x9, pong: 0xa } as const;

export function clientFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  if (length > 65_535) throw new RangeError(`No frame here is as long as ${length} bytes`);
  const headBytes = length < 126 ? 6 : 8;
  const frame = Buffer.allocUnsafe(headBytes + length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | Math.min(length, 126);
  if (length >= 126) frame.writeUInt16BE(length, 2);
  frame.set(maskingKey, headBytes - 4);
  for (let i = 0; i < length; i++) {
    frame[headBytes + i] = (payload[i] as number) ^ (maskingKey[i & 3] as number);
  }
  return frame;
}

export function textFrame(text: string): Buffer {
  return clientFrame(opcodes.text, Buffer.from(text));
}

/** The same frame so many times in a row; any first part of it that ends with a frame can be sent. */
export function repeated(frame: Buffer, times: number): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => frame));
}

/** A JSON object of so many bytes: `head` begins it and its last member's string. */
export function padded(head: string, bytes: number): string {
  const filler = bytes - head.length - 2;
  if (filler < 0) throw new RangeError(`${head} is longer than ${bytes} bytes`);
  return `${head}${"x".repeat(filler)}"}`;
}

export const closeFrame = clientFrame(opcodes.close, Buffer.from([0x03, 0xe8]));

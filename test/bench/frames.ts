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

/** Lines of a session description (RFC 8866) as browsers write them; in JSON each ends in `\\r\\n`. */
const sdpLines = [
  "v=0",
  "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE 0",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "c=IN IP4 0.0.0.0",
  "a=ice-ufrag:EsAw",
  "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
  "a=fingerprint:sha-256 D2:FA:0E:C3:22:59:5E:14:95:69:92:3D:13:B4:84:24:2C:C2:A2:C0",
  "a=setup:actpass",
  "a=mid:0",
  "a=sctp-port:5000",
  "a=candidate:1467250027 1 udp 2122260223 192.0.2.43 46243 typ host generation 0 network-id 1",
];

/** A frame of so many bytes that carries a session description, line breaks escaped as in real ones. */
export function description(type: "offer" | "answer", bytes: number): string {
  const head = `{"type":"${type}","sdp":"`;
  let text = head;
  for (let i = 0; ; i++) {
    const line = `${sdpLines[i % sdpLines.length]}\\r\\n`;
    if (text.length + line.length + 2 > bytes) return padded(text, bytes);
    text += line;
  }
}

export const closeFrame = clientFrame(opcodes.close, Buffer.from([0x03, 0xe8]));

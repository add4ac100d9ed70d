/**
 * A file over a data channel of its own:
 *
 *     sender → receiver   {"name":…,"size":…}              text
 *     sender → receiver   its bytes, piece by piece        binary
 *     receiver → sender   "done"                           then the sender closes the channel
 *
 * The side that closes it earlier has cancelled.
 */
export interface FileHeader {
  readonly name: string;
  readonly size: number;
}

/** Is called as a transfer proceeds; the last call is `done` or `failed`. */
export interface Progress {
  /** Bytes so far, of the header's `size`. */
  moved(bytes: number): void;
  /** With the file, if it was received. */
  done(file?: Blob): void;
  /** The channel closed before the end: cancelled, or lost. */
  failed(): void;
}

/** What every browser takes in one message (RFC 8841 section 6.1 sets the default). */
const pieceBytes = 65_536;
/** How much is read from disk at once. */
const readBytes = 1_048_576;
/** Reading pauses above `highMark` unsent bytes, and continues at `lowMark`. */
const highMark = 4_194_304;
const lowMark = 1_048_576;
/** Every 8 MiB that were received become a Blob, which the browser may keep on disk. */
const blobBytes = 8_388_608;

/** Sends the file. Progress ends with `done` when the receiver has all of it. */
export function sendFile(channel: RTCDataChannel, file: File, progress: Progress): void {
  channel.binaryType = "arraybuffer";
  channel.bufferedAmountLowThreshold = lowMark;
  let finished = false;
  channel.onopen = () => {
    const header: FileHeader = { name: file.name, size: file.size };
    channel.send(JSON.stringify(header));
    sendPieces(channel, file, progress).catch(() => channel.close());
  };
  channel.onmessage = ({ data }) => {
    if (data !== "done") return;
    finished = true;
    progress.done();
    channel.close();
  };
  channel.onclose = () => {
    if (!finished) progress.failed();
  };
}

async function sendPieces(channel: RTCDataChannel, file: File, progress: Progress): Promise<void> {
  for (let start = 0; start < file.size; start += readBytes) {
    const block = await file.slice(start, start + readBytes).arrayBuffer();
    for (let at = 0; at < block.byteLength; at += pieceBytes) {
      if (channel.bufferedAmount > highMark) await drained(channel);
      if (channel.readyState !== "open") return;
      channel.send(block.slice(at, at + pieceBytes));
      progress.moved(Math.max(0, start + at - channel.bufferedAmount));
    }
  }
}

function drained(channel: RTCDataChannel): Promise<void> {
  return new Promise((resolve) => {
    channel.addEventListener("bufferedamountlow", () => resolve(), { once: true });
    channel.addEventListener("close", () => resolve(), { once: true });
  });
}

/** Receives a file. `begin` gets its header, and returns the receiver of its progress. */
export function receiveFile(
  channel: RTCDataChannel,
  begin: (header: FileHeader) => Progress,
): void {
  channel.binaryType = "arraybuffer";
  let progress: Progress | undefined;
  let header: FileHeader | undefined;
  let parts: BlobPart[] = [];
  let loose = 0;
  let bytes = 0;

  channel.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (header === undefined) {
      header = readHeader(data);
      if (header === undefined) return channel.close();
      progress = begin(header);
    } else if (typeof data !== "string") {
      parts.push(data);
      bytes += data.byteLength;
      loose += data.byteLength;
      progress?.moved(bytes);
    }
    if (loose >= blobBytes) {
      parts = [new Blob(parts)];
      loose = 0;
    }
    if (bytes < header.size) return;
    channel.onmessage = null;
    // Never of the sender's type: the blob's URL is of this page's origin, where a document would run.
    const file = new Blob(parts, { type: "application/octet-stream" });
    channel.send("done");
    progress?.done(file);
    progress = undefined;
  };
  channel.onclose = () => progress?.failed();
}

/** Undefined if it is not a header. */
function readHeader(data: string | ArrayBuffer): FileHeader | undefined {
  if (typeof data !== "string") return undefined;
  try {
    const { name, size } = JSON.parse(data) as Partial<Record<keyof FileHeader, unknown>>;
    if (typeof name !== "string" || !Number.isSafeInteger(size)) return undefined;
    return { name: fileName(name), size: Math.max(0, Number(size)) };
  } catch {
    return undefined;
  }
}

const longestName = 120;

/**
 * A name that every system allows, without a folder. Its end is kept, as it shows the kind of file.
 * Invisible characters, and those that change the direction of writing, could fake another kind.
 */
function fileName(name: string): string {
  const base = name.split(/[\\/]/).at(-1) ?? "";
  const plain = base
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .replaceAll(/[<>:"|?*]/g, "_")
    .replace(/^[.\s]+|[.\s]+$/gu, "");
  return [...plain].slice(-longestName).join("") || "file";
}

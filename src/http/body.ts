import type { MaybePromise } from "../base/maybe-promise.ts";

export type Body =
  | { readonly outcome: "read"; readonly text: string }
  /** More than `maxBytes`; the rest was not read. */
  | { readonly outcome: "too_large" }
  /** The client went away before its end. */
  | { readonly outcome: "cut_off" };

const empty: Body = { outcome: "read", text: "" };

/**
 * The request's body as text; without one, empty and at once. Never holds more than `maxBytes` and
 * a network packet, whether the length was announced or not. Never rejects.
 */
export function readBody(request: Request, maxBytes: number): MaybePromise<Body> {
  const announced = request.headers.get("content-length");
  if (announced === null) {
    return request.body === null ? empty : readStream(request.body, maxBytes).catch(cutOff);
  }
  if (announced === "0") return empty;
  if (Number(announced) > maxBytes) return { outcome: "too_large" };
  return request.text().then((text): Body => ({ outcome: "read", text }), cutOff);
}

async function readStream(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Body> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return { outcome: "too_large" };
    chunks.push(chunk);
  }
  return { outcome: "read", text: new TextDecoder().decode(Buffer.concat(chunks)) };
}

/** A body up to this is skipped for the sake of the connection, when nobody has read it; bytes. */
const maxSkippedBytes = 1_048_576;

/** Whether a body may come that is too much to skip: a longer one, or one of unknown length. */
export function isLongBodied(headers: Headers): boolean {
  const length = headers.get("content-length");
  return length === null ? headers.has("transfer-encoding") : Number(length) > maxSkippedBytes;
}

/** Has the connection closed after the answer: its client cannot go on to send what nobody reads. */
export function endConnection(response: Response | undefined): Response | undefined {
  response?.headers.set("Connection", "close");
  return response;
}

function cutOff(): Body {
  return { outcome: "cut_off" };
}

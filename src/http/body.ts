import type { MaybePromise } from "../base/maybe-promise.ts";

/** Longer bodies are not read; bytes. */
const maxBodyBytes = 4096;

/**
 * The request's body as text: empty where there is none, or its client went away before its end.
 * Undefined when it is longer than 4096 bytes, whether that was announced or not; no more than that
 * and a network packet is ever held. Never rejects.
 */
export function readBody(request: Request): MaybePromise<string | undefined> {
  const announced = request.headers.get("content-length");
  if (announced === null) {
    return request.body === null ? "" : readStream(request.body).catch(cutOff);
  }
  if (announced === "0") return "";
  return Number(announced) > maxBodyBytes ? undefined : request.text().catch(cutOff);
}

function cutOff(): string {
  return "";
}

async function readStream(body: AsyncIterable<Uint8Array>): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** `application/json` with or without parameters (RFC 9110 section 8.3). */
export function isJson(contentType: string | null): boolean {
  return contentType?.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}

/** Undefined, which JSON has no word for, when the text is none. */
export function parseJson(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

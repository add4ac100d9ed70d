import type { z } from "zod/mini";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { ProblemCode } from "./problem.ts";

/** Longer bodies are not read; bytes. */
const maxBodyBytes = 4096;

export type Read =
  | { readonly body: unknown }
  | { readonly fault: ProblemCode; readonly detail: string | undefined };

export const noBody: Read = { body: undefined };

/**
 * The body of a request, parsed and checked, or what is wrong with it. Without a `fault` (a description of
 * the body that is expected) every body is accepted, and is undefined unless it fits the schema.
 */
export function readAs(
  { schema, fault: detail }: { readonly schema: z.ZodMiniType; readonly fault?: string },
  request: Request,
): MaybePromise<Read> {
  const isStrict = detail !== undefined;
  if (isStrict && !isJson(request.headers.get("content-type"))) {
    return { fault: "not_json", detail: undefined };
  }
  const check = (text: string | undefined): Read => {
    if (isStrict && text === undefined) return { fault: "body_too_large", detail: undefined };
    const { success, data } = schema.safeParse(parseJson(text ?? ""));
    return success || !isStrict ? { body: data } : { fault: "malformed", detail };
  };
  // A client that left before the end of its body sent none.
  return andThen(readBody(request), check, () => check(""));
}

/**
 * The request's body as text; empty if there is no body. Undefined if it is longer than 4096 bytes,
 * announced or not; no more than that and a network packet is ever held. Rejects if the client left
 * before its end.
 */
function readBody(request: Request): MaybePromise<string | undefined> {
  const announced = request.headers.get("content-length");
  if (announced === null) {
    return request.body === null ? "" : readStream(request.body);
  }
  if (announced === "0") return "";
  return Number(announced) > maxBodyBytes ? undefined : request.text();
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
function isJson(contentType: string | null): boolean {
  return contentType?.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}

/** Undefined if the text is not JSON: no JSON text means undefined. */
function parseJson(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

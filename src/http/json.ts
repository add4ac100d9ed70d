import type { Body } from "./body.ts";

/** `application/json` with or without parameters (RFC 9110 section 8.3). */
export function isJson(contentType: string | null): boolean {
  return contentType?.split(";", 1)[0]?.trim().toLowerCase() === "application/json";
}

/** Undefined, which JSON has no word for, when the body is none. */
export function parseJson(body: Body): unknown {
  if (body.outcome !== "read" || body.text === "") return undefined;
  try {
    return JSON.parse(body.text);
  } catch {
    return undefined;
  }
}

/** A moment in ms since the epoch as RFC 3339 has it: UTC, to the millisecond. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

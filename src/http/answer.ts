/**
 * On every answer: caches may not keep it, nor give it to another Origin, for which the origin rule
 * may answer differently (Fetch standard, section 3.3.5).
 */
export const commonHeaders = { "Cache-Control": "no-store", Vary: "Origin" } as const;

/** Each answer copies them: faster from `Headers` than from an object. */
const jsonHeaders = new Headers({ "Content-Type": "application/json", ...commonHeaders });
const ok = { headers: jsonHeaders };

/** `Body` is what the API description promises of this answer. */
export function answerJson<Body extends object>(body: Body, status = 200): Response {
  const init = status === 200 ? ok : { status, headers: jsonHeaders };
  return new Response(JSON.stringify(body), init);
}

/** Text of this media type. */
export function answerText(
  text: string,
  type: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(text, { headers: { ...headers, "Content-Type": type, ...commonHeaders } });
}

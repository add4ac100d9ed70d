/**
 * On every answer: none may be kept by a cache, and as the origin rule has a say in all of them,
 * none may be given to another Origin (Fetch standard, section 3.3.5).
 */
export const commonHeaders = { "Cache-Control": "no-store", Vary: "Origin" } as const;

/** Copied from faster than from an object: these stand in the way of every request. */
const jsonHeaders = new Headers({ "Content-Type": "application/json", ...commonHeaders });
const ok = { headers: jsonHeaders };

export function answerJson(body: Record<string, string | boolean | null>, status = 200): Response {
  const init = status === 200 ? ok : { status, headers: jsonHeaders };
  return new Response(JSON.stringify(body), init);
}

import type { Hono } from "hono";
import { inUrl, isLoopback } from "../base/network.ts";
import { answerText } from "./answer.ts";
import type { HttpEnv } from "./calls.ts";

export interface DocumentOptions {
  /** Empty, or the path that a proxy serves this server under, such as `/signal`. */
  readonly basePath: string;
  /** The page to try the server on, with everything it needs in it. Undefined: no page. */
  readonly loadPage: (() => Promise<Page>) | undefined;
  /** Where other machines of the network reach this server, if they do. */
  readonly lanAddress?: () => string | undefined;
}

interface Page {
  readonly html: string;
  /** Its Content-Security-Policy (CSP Level 3): nothing runs but what was built into it. */
  readonly policy: string;
  /** JavaScript modules to import: the signaling client, and the peer on it. */
  readonly client: string;
  readonly peer: string;
}

/** How the server describes itself, to tools and to people. Written when first asked for. */
export function documents(
  app: Hono<HttpEnv>,
  { basePath, loadPage, lanAddress }: DocumentOptions,
): void {
  const openApi = once(async () => (await import("./description/openapi.ts")).openApi());
  const asyncApi = once(async () => (await import("./description/asyncapi.ts")).asyncApi());
  app.get(`${basePath}/openapi.json`, async () => answerText(await openApi(), "application/json"));
  app.get(`${basePath}/asyncapi.json`, async () =>
    answerText(await asyncApi(), "application/json"),
  );
  if (loadPage === undefined) return;

  for (const module of ["client", "peer"] as const) {
    app.get(`${basePath}/${module}.js`, async () =>
      answerText((await loadPage())[module], "text/javascript; charset=utf-8"),
    );
  }
  app.on("GET", basePath === "" ? ["/"] : [basePath, `${basePath}/`], async ({ req, env }) => {
    const { html, policy } = await loadPage();
    const { header, address } = env.client;
    // Only a browser on this machine learns its addresses.
    const host = (req.header("host") ?? "").replace(/:\d+$/, "");
    const isHere = header === undefined && isLoopback(address) && isLoopback(host);
    const lan = isHere ? lanAddress?.() : undefined;
    const tag = lan === undefined ? "" : `<meta name="lan" content="${inUrl(lan)}">`;
    return answerText(html.replace("<!-- lan -->", tag), "text/html; charset=utf-8", {
      "Content-Security-Policy": policy,
      "X-Content-Type-Options": "nosniff",
      // A link to the page may hold a code, which no other site is to see.
      "Referrer-Policy": "no-referrer",
    });
  });
}

function once(write: () => Promise<object>): () => Promise<string> {
  let text: Promise<string> | undefined;
  return () => {
    text ??= write().then((document) => JSON.stringify(document));
    return text;
  };
}

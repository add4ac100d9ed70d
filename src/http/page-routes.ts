import { commonHeaders } from "./answer.ts";
import type { Routes } from "./routes.ts";

/** One web page with everything it needs in it. */
export interface Page {
  readonly html: string;
  /** Its Content-Security-Policy (CSP Level 3): nothing runs but what was built into it. */
  readonly policy: string;
  /** A JavaScript module: the signaling client. */
  readonly client: string;
}

export interface PageRouteOptions {
  /** Undefined where the server has no page to show. */
  readonly loadPage: (() => Promise<Page>) | undefined;
}

/** The page to try the server on, and its client to import. Without it there is neither. */
export function pageRoutes(routes: Routes, { loadPage }: PageRouteOptions): void {
  if (loadPage === undefined) return;
  routes.get("/client.js", async () => {
    const { client } = await loadPage();
    const headers = { "Content-Type": "text/javascript; charset=utf-8", ...commonHeaders };
    return new Response(client, { headers });
  });
  routes.get("/", async () => {
    const { html, policy } = await loadPage();
    return new Response(html, {
      headers: {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        // The link with a code in it is nobody else's business.
        "Referrer-Policy": "no-referrer",
        ...commonHeaders,
      },
    });
  });
}

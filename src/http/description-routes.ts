import type { Hono } from "hono";
import { commonHeaders } from "./answer.ts";
import type { CrossOrigin } from "./cross-origin.ts";
import { asyncApi } from "./description/asyncapi.ts";
import { openApi } from "./description/openapi.ts";

/** How the server describes itself to tools: its HTTP calls and its frames. */
export function descriptionRoutes(app: Hono, { guard }: CrossOrigin): void {
  app.get("/openapi.json", guard(answered(openApi)));
  app.get("/asyncapi.json", guard(answered(asyncApi)));
}

/** Written when first asked for: nobody needs it to run. */
function answered(write: () => object): () => Response {
  let text: string | undefined;
  return () => {
    text ??= JSON.stringify(write());
    return new Response(text, {
      headers: { "Content-Type": "application/json", ...commonHeaders },
    });
  };
}

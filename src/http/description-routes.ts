import { commonHeaders } from "./answer.ts";
import { asyncApi } from "./description/asyncapi.ts";
import { openApi } from "./description/openapi.ts";
import type { Routes } from "./routes.ts";

/** How the server describes itself to tools: its HTTP calls and its frames. */
export function descriptionRoutes(routes: Routes): void {
  routes.get("/openapi.json", answered(openApi));
  routes.get("/asyncapi.json", answered(asyncApi));
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

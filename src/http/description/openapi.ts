import { z } from "zod/mini";
import { version } from "../../base/version.ts";
import { type Call, calls } from "../calls.ts";
import { type ProblemCode, problemCodes, statusOf } from "../problem.ts";
import { jsonSchema } from "./json-schema.ts";

const everywhere: readonly ProblemCode[] = ["origin_refused", "internal"];

/** RFC 9457. `code` is what programs should act upon. */
const problemSchema = z.strictObject({
  status: z.int(),
  title: z.string(),
  code: z.enum(problemCodes),
  detail: z.string(),
});

/** The HTTP calls as an OpenAPI 3.1 document. */
export function openApi(): object {
  return {
    openapi: "3.1.0",
    info: {
      title: "nt-signal",
      version,
      summary: "The server that two WebRTC peers meet at: codes and ICE servers.",
      description: "What crosses the WebSocket is described by /asyncapi.json.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "./" }],
    // No call needs a login.
    security: [],
    paths: Object.fromEntries(calls.map((call) => [call.path, { [call.method]: operation(call) }])),
    components: { schemas: { Problem: jsonSchema(problemSchema) } },
  };
}

function operation(call: Call) {
  const { id, summary, description, query, body, examples = {}, answers, problems } = call;
  const named = Object.entries(examples).map(([name, value]) => [name, { value }]);
  return {
    operationId: id,
    summary,
    ...(description !== undefined && { description }),
    ...(query !== undefined && {
      parameters: Object.entries(query).map(([name, schema]) => {
        return { in: "query", name, schema: jsonSchema(schema) };
      }),
    }),
    ...(body !== undefined && {
      requestBody: {
        required: body.fault !== undefined,
        content: {
          "application/json": {
            schema: jsonSchema(body.schema),
            examples: Object.fromEntries(named),
          },
        },
      },
    }),
    responses: {
      ...refusals([...problems, ...everywhere]),
      ...Object.fromEntries(Object.entries(answers).map(succeeds)),
    },
  };
}

function succeeds([status, schema]: [string, z.ZodMiniType]) {
  const content = { "application/json": { schema: jsonSchema(schema) } };
  return [status, { description: status === "200" ? "Done" : "Not now", content }];
}

const retryAfter = {
  description: "Seconds to wait before the next try (RFC 9110 section 10.2.3)",
  schema: { type: "integer", minimum: 1 },
};

/** One answer a status, with the codes that it can have. */
function refusals(codes: readonly ProblemCode[]): Record<string, object> {
  const byStatus = Map.groupBy(codes, statusOf);
  const schema = { $ref: "#/components/schemas/Problem" };
  const content = { "application/problem+json": { schema } };
  return Object.fromEntries(
    Array.from(byStatus, ([status, same]) => {
      const headers = [429, 503].includes(status) ? { headers: { "Retry-After": retryAfter } } : {};
      return [status, { description: same.join(", "), ...headers, content }];
    }),
  );
}

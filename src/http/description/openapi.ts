import { z } from "zod";
import { version } from "../../base/version.ts";
import { type ProblemCode, problemCodes, statusOf } from "../problem.ts";
import { iceBody, mintBody, redeemBody } from "../rendezvous.ts";
import {
  aliveAnswer,
  iceAnswer,
  mintAnswer,
  readyAnswer,
  redeemAnswer,
  unreadyAnswer,
  whoamiAnswer,
} from "./answers.ts";
import { jsonSchema } from "./json-schema.ts";

/** One HTTP call, as the document describes it and a test carries it out. */
export interface Call {
  readonly id: string;
  readonly method: "get" | "post";
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** What stands for the optional parameters of the query, by their names. */
  readonly query?: Readonly<Record<string, z.ZodType>>;
  readonly body?: { readonly schema: z.ZodType; readonly required: boolean };
  /** Bodies to try, by name. */
  readonly examples?: Readonly<Record<string, object>>;
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Beyond those that every call has. */
  readonly problems: readonly ProblemCode[];
}

const everywhere: readonly ProblemCode[] = ["origin_refused", "internal"];
const fromBody: readonly ProblemCode[] = ["malformed", "body_too_large", "not_json"];

export const calls: readonly Call[] = [
  {
    id: "mint",
    method: "post",
    path: "/rendezvous/code",
    summary: "Make a room and a code for it",
    description:
      "`ttl` asks for a shorter life, in seconds. Any other body, and none, is as good as {}.",
    body: { schema: mintBody.partial(), required: false },
    examples: { usual: {}, short: { ttl: 60 } },
    answers: { 200: mintAnswer },
    problems: ["rate_limited", "client_full", "codes_full", "draining", "store_unreachable"],
  },
  {
    id: "redeem",
    method: "post",
    path: "/rendezvous/redeem",
    summary: "Take a code out, once, for the room it was made for",
    body: { schema: redeemBody, required: true },
    examples: { usual: { code: "2802" } },
    answers: { 200: redeemAnswer },
    problems: [
      ...fromBody,
      "code_gone",
      "code_withdrawn",
      "rate_limited",
      "too_many_misses",
      "shared_misses",
      "store_unreachable",
    ],
  },
  {
    id: "iceServers",
    method: "post",
    path: "/rendezvous/ice",
    summary: "Ask for ICE servers on behalf of a side that is in its room",
    description:
      "Servers with a credential are given to sides of rooms whose code was redeemed here, 4 times " +
      "a side and 30 times a client and hour. Clients of `nt.v2` have them in their welcome.",
    body: { schema: iceBody, required: true },
    examples: { usual: { appID: "7b9f2c1e-4d3a-4f6b-8c5d-0e1f2a3b4c5d", side: "A" } },
    answers: { 200: iceAnswer },
    problems: [...fromBody, "ice_refused", "rate_limited", "store_unreachable"],
  },
  {
    id: "whoami",
    method: "get",
    path: "/rendezvous/whoami",
    summary: "Learn under which address this server counts you, and how its log names a room",
    query: { appID: z.uuid().describe("The room to name") },
    answers: { 200: whoamiAnswer },
    problems: ["rate_limited"],
  },
  {
    id: "alive",
    method: "get",
    path: "/healthz",
    summary: "Learn whether the process serves",
    answers: { 200: aliveAnswer },
    problems: [],
  },
  {
    id: "ready",
    method: "get",
    path: "/readyz",
    summary: "Learn whether it should get new clients",
    answers: { 200: readyAnswer, 503: unreadyAnswer },
    problems: [],
  },
];

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
    // Nobody has to show who they are.
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
        required: body.required,
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

function succeeds([status, schema]: [string, z.ZodType]) {
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

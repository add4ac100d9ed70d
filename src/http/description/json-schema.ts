import { z } from "zod/mini";

/**
 * What a schema takes from outside, as JSON Schema (draft 2020-12, the dialect of OpenAPI 3.1 and
 * understood by AsyncAPI 3). `more` stands beside it: descriptions, examples.
 */
export function jsonSchema(schema: z.ZodMiniType, more: object = {}): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return { ...rest, ...more };
}

import { expect, test } from "bun:test";
import { stackOf } from "../../src/base/errors.ts";

const withoutStack = (error: Error) => Object.assign(error, { stack: "" });

test.each<[string, unknown, string]>([
  ["an error", new Error("it broke"), "it broke"],
  ["an abort: its stack lacks the message", AbortSignal.abort().reason, "operation was aborted"],
  ["an error without a stack", withoutStack(new Error("it broke")), "it broke"],
  ["errors without a message", withoutStack(new AggregateError([])), "AggregateError"],
  ["a text", "it broke", "it broke"],
  ["a symbol", Symbol("it broke"), "it broke"],
])("the log says what was thrown: %s", (_, thrown, said) => {
  expect(stackOf(thrown)).toContain(said);
});

import type { EngineLimits } from "../../engine.ts";
import { call, format, number, parse, quote, type Value } from "./lua.ts";

/** What all nodes have in common. */
export interface Common {
  /** What all keys begin with. */
  readonly root: string;
  readonly limits: EngineLimits;
  readonly leaseMs: number;
  /** How long what is kept outlives the last node. */
  readonly keptMs: number;
  /** For how long an operation is known by its id. */
  readonly rememberedMs: number;
  /** How much the nodes together may leave unread. */
  readonly streamBytes: number;
}

/** The call under way. */
export const present = {
  /** ms by the clock of this Redis, for leases and deadlines. */
  real: 0,
  /** The same for whatever expires: contract tests move it. */
  now: 0,
  /** The node that asks. */
  node: "",
  common: {} as Common,
};

let commonText = "";

/** Begins a call. False where it comes too late to change anything. */
export function begin(deadline: string, offset: string, common: string, node: string): boolean {
  const [seconds, micros] = call<[string, string]>("TIME");
  const real = (number(seconds) ?? 0) * 1000 + Math.floor((number(micros) ?? 0) / 1000);
  if (real >= (number(deadline) ?? 0)) return false;
  present.real = real;
  present.now = real + (number(offset) ?? 0);
  present.node = node;
  if (common !== commonText) {
    present.common = parse<Common>(common);
    commonText = common;
  }
  return true;
}

export function keyOf(name: string): string {
  return present.common.root + name;
}

/** 0 for a number that is not there. */
export function numberAt(value: Value | undefined): number {
  return number(value) ?? 0;
}

/** JSON with all digits of numbers, which are whole. An empty list and an empty record both become `{}`. */
export function json(value: unknown): string {
  if (typeof value === "number") return format("%.0f", value);
  if (typeof value === "string" || typeof value === "boolean") return quote(value);
  const parts: string[] = [];
  const list = value as readonly unknown[];
  if (list[0] !== undefined) {
    for (const item of list) parts.push(json(item));
    return `[${parts.join(",")}]`;
  }
  const record = value as Record<string, unknown>;
  for (const name in record) parts.push(`${quote(name)}:${json(record[name])}`);
  return `{${parts.join(",")}}`;
}

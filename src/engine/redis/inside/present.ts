import type { EngineLimits } from "../../engine.ts";
import { call, format, number, parse, quote, type Value } from "./lua.ts";

/** What all nodes have in common. */
interface Common {
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
  /** Redis is full: nothing may be added to it. */
  isFull: false,
  /** The node that asks. */
  node: "",
  common: {} as Common,
};

/** What nodes have in common, by its text: so it is parsed once. */
const commons: Record<string, Common> = {};

/** Begins a call. False: it is too late to change anything. */
export function begin(deadline: string, offset: string, common: string, node: string): boolean {
  const [seconds, micros] = call<[string, string]>("TIME");
  const real = (number(seconds) ?? 0) * 1000 + Math.floor((number(micros) ?? 0) / 1000);
  if (real >= (number(deadline) ?? 0)) return false;
  commons[common] ??= parse<Common>(common);
  present.common = commons[common];
  present.real = real;
  present.now = real + (number(offset) ?? 0);
  present.node = node;
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
  const parts: string[] = [];
  write(value, parts);
  return parts.join("");
}

function write(value: unknown, parts: string[]): void {
  if (typeof value === "number") {
    parts.push(format("%.0f", value));
  } else if (typeof value === "string" || typeof value === "boolean") {
    parts.push(quote(value));
  } else if ((value as readonly unknown[])[0] === undefined) {
    let before = "{";
    for (const name in value as Record<string, unknown>) {
      const item = (value as Record<string, unknown>)[name];
      if (item === undefined) continue;
      parts.push(before, quote(name), ":");
      write(item, parts);
      before = ",";
    }
    parts.push(before === "{" ? "{}" : "}");
  } else {
    let before = "[";
    for (const item of value as readonly unknown[]) {
      parts.push(before);
      write(item, parts);
      before = ",";
    }
    parts.push("]");
  }
}

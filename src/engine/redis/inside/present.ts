import type { EngineLimits } from "../../engine.ts";
import { call, format, number, parse, quote, type Value } from "./lua.ts";

/** Settings that all nodes share. */
interface Common {
  /** All keys start with it. */
  readonly root: string;
  readonly limits: EngineLimits;
  readonly leaseMs: number;
  /** How long data outlives the last node. */
  readonly keptMs: number;
  /** How long the answer of an operation is remembered by its id. */
  readonly rememberedMs: number;
  /** Bytes of events that all nodes together may leave unread. */
  readonly streamBytes: number;
}

/** The call under way. */
export const present = {
  /** ms since the epoch by Redis's clock, for leases and deadlines. */
  real: 0,
  /** The same for everything else that expires. Contract tests move it. */
  now: 0,
  /** Redis is full: no data may be added. */
  isFull: false,
  /** The node that asks. */
  node: "",
  common: {} as Common,
};

/** `Common` by its JSON text, so that it is parsed only once. */
const commons: Record<string, Common> = {};

/** Begins a call. Returns false after its deadline: the call must change nothing. */
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

/** A reply as a number; 0 if it is missing. */
export function numberAt(value: Value | undefined): number {
  return number(value) ?? 0;
}

/** JSON with all digits of its numbers, which must be whole. An empty list becomes `{}`, like an empty object. */
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

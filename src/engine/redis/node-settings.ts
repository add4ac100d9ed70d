import type { Cancel } from "../../base/clock.ts";
import type { RedisEngineOptions } from "./redis.ts";
import type { Store } from "./store.ts";

/** Settings that must be the same on all nodes, by the operator's names. Contains no secrets. */
export type NodeSettings = Readonly<Record<string, string>>;

export interface Difference {
  readonly name: string;
  readonly here: string;
  readonly there: string;
}

/** Settings that must be the same on all nodes, and the callback for differences. */
export interface Agreement {
  readonly settings: NodeSettings;
  readonly differs: (node: string, differences: readonly Difference[]) => void;
}

/** How often a node publishes its settings. */
const showEveryMs = 20_000;
/** How long published settings stay in Redis. */
const shownMs = 90_000;

/**
 * Each node writes its settings to one key, and compares them with those that another node wrote before.
 * Within two minutes this finds every node that differs. The same difference is reported once. The key is
 * the same for all formats, so that nodes that share nothing else find each other.
 */
export function compareNodes(
  store: Store,
  { prefix, node, clock }: Pick<RedisEngineOptions, "prefix" | "node" | "clock">,
  { settings, differs }: Agreement,
): { readonly compare: () => void; readonly stop: Cancel } {
  const key = `${prefix}{rv}:settings`;
  const shown = JSON.stringify({ node, settings });
  let reported = "";

  async function compare(): Promise<void> {
    if (!store.isUp) return;
    const before = await store.swap(key, shown, shownMs).catch(() => undefined);
    const other = before === undefined ? undefined : parse(before);
    if (other === undefined || other.node === node) return;
    const differences = differencesOf(settings, other.settings);
    const text = JSON.stringify(differences);
    if (differences.length === 0 || text === reported) return;
    reported = text;
    differs(other.node, differences);
  }

  return {
    compare: () => void compare(),
    stop: clock.every(showEveryMs, () => void compare()),
  };
}

function differencesOf(here: NodeSettings, there: NodeSettings): readonly Difference[] {
  const names = [...new Set([...Object.keys(here), ...Object.keys(there)])];
  return names
    .map((name) => ({ name, here: here[name] ?? "none", there: there[name] ?? "none" }))
    .filter((difference) => difference.here !== difference.there);
}

/** Undefined if the text is not valid. */
function parse(text: string): { node: string; settings: NodeSettings } | undefined {
  try {
    const { node, settings } = JSON.parse(text) as { node?: unknown; settings?: object | null };
    if (typeof node !== "string" || !settings) return undefined;
    const entries = Object.entries(settings).map(([name, value]) => [name, String(value)]);
    return { node, settings: Object.fromEntries(entries) };
  } catch {
    return undefined;
  }
}

import type { Cancel } from "../../base/clock.ts";
import type { RedisEngineOptions } from "./redis.ts";
import type { Store } from "./store.ts";

/** What all nodes have to agree on, by the names an operator knows; nothing that is secret. */
export type NodeSettings = Readonly<Record<string, string>>;

export interface Difference {
  readonly name: string;
  readonly here: string;
  readonly there: string;
}

/** What all nodes have to agree on, and what is called when one does not. */
export interface Agreement {
  readonly settings: NodeSettings;
  readonly differs: (node: string, differences: readonly Difference[]) => void;
}

/** How often a node shows what it is set to. */
const showEveryMs = 20_000;
/** How long that stays there after the last node has ended. */
const shownMs = 90_000;

/**
 * Each node swaps its settings for those of the node that wrote last: within a minute or two every node
 * that differs from the others has met one of them. The same difference is reported once.
 * The key is that of all formats, so that nodes which share nothing else find out.
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

/** Undefined for a text that no node writes. */
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

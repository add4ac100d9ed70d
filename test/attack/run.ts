import { join } from "node:path";
import { endsWithUs } from "../bench/children.ts";
import { within } from "../support/waiting.ts";
import type { AttackCase, Verdict } from "./attack-case.ts";

/** No case takes longer. */
const mostMs = 180_000;

/** Why it cannot be tried here; undefined where it can. */
export function missingFor({ needs = [], addresses }: AttackCase): string | undefined {
  const wanted = addresses === undefined ? needs : [...needs, "unshare", "ip"];
  const missing = wanted.filter((program) => Bun.which(program) === null);
  if (missing.length > 0) return `it needs ${missing.join(" and ")}`;
  if (addresses === undefined || isInside()) return undefined;
  const allowed = Bun.spawnSync(["unshare", "-rn", "true"]).success;
  return allowed ? undefined : "it may make no network of its own here";
}

/** Tries it; one that comes from addresses of its own runs in a network of its own. */
export async function attempt(attack: AttackCase): Promise<Verdict> {
  try {
    const apart = attack.addresses !== undefined && !isInside();
    return await within("the case", apart ? inNetwork(attack) : attack.run(), mostMs);
  } catch (error) {
    return { measured: error instanceof Error ? error.message : String(error), holds: false };
  }
}

/** Set in the process that runs in the network made for it. */
const insideVariable = "NT_SIGNAL_ATTACK_INSIDE";

function isInside(): boolean {
  return process.env[insideVariable] !== undefined;
}

async function inNetwork({ name, addresses = [] }: AttackCase): Promise<Verdict> {
  const add = addresses.map((address) =>
    address.includes(":")
      ? `ip addr add ${address}/128 dev lo nodad`
      : `ip addr add ${address}/32 dev lo`,
  );
  const script = ["ip link set lo up", ...add, 'exec "$0" "$@"'].join(" && ");
  const command = [process.execPath, join(import.meta.dir, "attack.ts"), "--only", name, "--json"];
  const child = endsWithUs(
    Bun.spawn(["unshare", "-rn", "sh", "-c", script, ...command], {
      env: { ...process.env, [insideVariable]: "1" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    }),
  );
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (out === "") return { measured: err.trim(), holds: false };
  return JSON.parse(out) as Verdict;
}

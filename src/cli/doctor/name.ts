import { lookup } from "node:dns/promises";
import type { Target } from "./target.ts";
import { failed, passed, type Verdict } from "./verdict.ts";

/** Whether the host's name leads to an address. */
export async function resolvesName({ host, isAddress }: Target): Promise<Verdict> {
  if (isAddress) return passed(`${host} is an address; there is no name to look up`);
  try {
    const found = await lookup(host, { all: true });
    return passed(`${host} is ${found.map(({ address }) => address).join(", ")}`);
  } catch {
    return failed(
      `${host} has no address`,
      "Is the name spelt right? If it is new, its DNS record may be missing or not yet known here.",
    );
  }
}

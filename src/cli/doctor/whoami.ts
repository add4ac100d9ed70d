import { isPrivate, parseAddress } from "../../base/address.ts";
import { isLoopback } from "../own-address.ts";
import { type Answer, ask, fieldOf, wrongAnswer } from "./ask.ts";
import type { Target } from "./target.ts";
import { failed, passed, type Verdict } from "./verdict.ts";

/** Headers that proxies put on answers, and nt-signal does not. */
const proxyMarks = ["via", "server", "x-served-by", "cf-ray", "x-cache"];

/** Whether the server knows its clients apart, which all its limits for one client rest on. */
export async function seesClient(target: Target): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/rendezvous/whoami`);
  if ("ok" in answer) return answer;
  if (answer.status === 404) return passed("the server does not tell whom it sees");
  const address = fieldOf(answer.json, "address");
  const header = fieldOf(answer.json, "header");
  if (answer.status !== 200 || typeof address !== "string") return wrongAnswer(answer, target);
  const through = typeof header === "string" ? ` through ${header}` : "";
  const told = `the server sees you as ${address}${through}`;
  if (fieldOf(answer.json, "shared") === true) {
    return failed(
      `${told}, and so it sees everybody`,
      "A proxy that it does not trust stands in front of it. Set TRUST_PROXY to the proxy's address, or to private.",
    );
  }
  if (typeof header === "string" || !comesThroughProxy(target, answer, address)) {
    return passed(told);
  }
  return failed(
    `${told}, which is a proxy's address`,
    "No header tells the client's address. Let the proxy set X-Forwarded-For, and set TRUST_PROXY to the proxy's address.",
  );
}

/** It says so itself; or a server on a public address sees a client that cannot be a public one. */
function comesThroughProxy(target: Target, { headers }: Answer, address: string): boolean {
  if (proxyMarks.some((name) => headers.has(name))) return true;
  const host = parseAddress(target.host);
  const isNear = isLoopback(target.host) || (host !== undefined && isPrivate(host));
  return !isNear && isLoopback(address);
}

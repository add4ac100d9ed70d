import { type Answer, ask, fieldOf, wrongAnswer } from "./ask.ts";
import type { Target } from "./target.ts";
import { failed, passed, type Verdict } from "./verdict.ts";

export interface Minted {
  /** A secret: never shown. */
  readonly code: string;
  readonly appId: string;
}

const severalServers =
  "Several servers may share this address without sharing what they know: run one, or give all of them the same store.";

/** Whether the server takes on clients. Health may be out of reach behind a proxy: only a warning. */
export async function isReady(target: Target): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/readyz`);
  if ("ok" in answer) return answer;
  const isReady = (given: Answer) => given.status === 200 && fieldOf(given.json, "ready") === true;
  if (isReady(answer)) return passed("the server takes on clients");
  if (target.basePath === "" || answer.status === 503) return wrongAnswer(answer, target);
  const atRoot = await ask(target, `${target.origin}/readyz`);
  if (!("ok" in atRoot) && isReady(atRoot)) return passed("the server takes on clients");
  return passed(
    "cannot be asked through this URL",
    "Proxies often keep /readyz to themselves; nothing is wrong if the rest passes.",
  );
}

export async function mints(target: Target): Promise<Verdict<Minted>> {
  const url = `${target.http}/rendezvous/code`;
  const answer = await ask(target, url, { method: "POST", body: { ttl: 60 } });
  if ("ok" in answer) return answer;
  const [code, appId] = [fieldOf(answer.json, "code"), fieldOf(answer.json, "appID")];
  if (answer.status !== 200 || typeof code !== "string" || typeof appId !== "string") {
    return wrongAnswer(answer, target);
  }
  return { ...passed(`got a code of ${code.length} digits`), value: { code, appId } };
}

export async function redeems(target: Target, { code, appId }: Minted): Promise<Verdict> {
  const answer = await redeem(target, code);
  if ("ok" in answer) return answer;
  if (answer.status === 410) return failed("the new code is not known", severalServers);
  const given = fieldOf(answer.json, "appID");
  if (answer.status !== 200 || typeof given !== "string") return wrongAnswer(answer, target);
  if (given !== appId) return failed("the code led to another room", severalServers);
  return passed("the code led to its room");
}

export async function redeemsOnce(target: Target, { code }: Minted): Promise<Verdict> {
  const answer = await redeem(target, code);
  if ("ok" in answer) return answer;
  if (answer.status === 410) return passed("the code works only once");
  if (answer.status !== 200) return wrongAnswer(answer, target);
  return failed(
    "the code worked twice",
    `A cache may answer for the server: pass POST requests on. ${severalServers}`,
  );
}

function redeem(target: Target, code: string): Promise<Answer | ReturnType<typeof failed>> {
  return ask(target, `${target.http}/rendezvous/redeem`, { method: "POST", body: { code } });
}

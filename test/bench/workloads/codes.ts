import { until } from "../../support/waiting.ts";
import { HttpSocket, member, postRequest } from "../http-socket.ts";
import { Latencies } from "../statistics.ts";
import type { Figures, Job, Work } from "./job.ts";
import { measure } from "./measure.ts";

export const mintRequest = postRequest("/rendezvous/code", '{"ttl":600}');

export function redeemRequest(code: string): Buffer {
  return postRequest("/rendezvous/redeem", `{"code":"${code}"}`);
}

/**
 * A code is minted and redeemed, over and over, on each of the connections. Before that, `live` codes
 * are minted and kept.
 */
export async function codes(
  job: Job,
  { connections, live }: Extract<Work, { kind: "codes" }>,
): Promise<Figures> {
  let answers = 0;
  let kept = 0;
  let wrong: string | undefined;
  const mints = new Latencies(1_000_000);
  const redeems = new Latencies(1_000_000);
  const callers = Array.from({ length: connections }, () => {
    let minted = "";
    let askedAt = performance.now();
    function ask(request: Uint8Array): void {
      askedAt = performance.now();
      http.post(request);
    }
    const http: HttpSocket = new HttpSocket((status, body) => {
      if (status !== 200) {
        wrong ??= `${status} ${body}`;
        return;
      }
      answers++;
      const tookMs = performance.now() - askedAt;
      const appId = member(body, "appID");
      if (minted === "") {
        mints.add(tookMs);
        if (kept++ < live) return ask(mintRequest);
        minted = appId;
        return ask(redeemRequest(member(body, "code")));
      }
      redeems.add(tookMs);
      if (appId !== minted) wrong ??= `${appId} was redeemed, not ${minted}`;
      minted = "";
      ask(mintRequest);
    });
    return { http, ask };
  });
  await Promise.all(callers.map(({ http }) => http.connect(job.port)));
  for (const { ask } of callers) ask(mintRequest);
  await until(
    `${live} codes`,
    () => {
      if (wrong !== undefined) throw new Error(wrong);
      return kept >= live;
    },
    60_000,
  );
  const figures = await measure(
    job,
    () => answers,
    () => {
      mints.clear();
      redeems.clear();
    },
  );
  for (const { http } of callers) http.close();
  if (wrong !== undefined) throw new Error(wrong);
  const quantiles = {
    mintP50: mints.quantile(0.5),
    mintP99: mints.quantile(0.99),
    redeemP50: redeems.quantile(0.5),
    redeemP99: redeems.quantile(0.99),
  };
  return { ...figures, ...quantiles };
}

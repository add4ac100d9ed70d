import { HttpSocket, member, postRequest } from "../http-socket.ts";
import type { Figures, Job, Work } from "./job.ts";
import { measure } from "./measure.ts";

export const mintRequest = postRequest("/rendezvous/code", '{"ttl":600}');

export function redeemRequest(code: string): Buffer {
  return postRequest("/rendezvous/redeem", `{"code":"${code}"}`);
}

/** A code is minted and redeemed, over and over, on each of the connections. */
export async function codes(
  job: Job,
  { connections }: Extract<Work, { kind: "codes" }>,
): Promise<Figures> {
  let answers = 0;
  let wrong: string | undefined;
  const callers = Array.from({ length: connections }, () => {
    let minted = "";
    const http = new HttpSocket((status, body) => {
      if (status !== 200) {
        wrong ??= `${status} ${body}`;
        return;
      }
      answers++;
      const appId = member(body, "appID");
      if (minted === "") {
        minted = appId;
        http.post(redeemRequest(member(body, "code")));
        return;
      }
      if (job.whole && appId !== minted) wrong ??= `${appId} was redeemed, not ${minted}`;
      minted = "";
      http.post(mintRequest);
    });
    return http;
  });
  await Promise.all(callers.map((http) => http.connect(job.port)));
  for (const http of callers) http.post(mintRequest);
  const figures = await measure(job, () => answers);
  for (const http of callers) http.close();
  if (wrong !== undefined) throw new Error(wrong);
  return figures;
}

import { within } from "./waiting.ts";

/** Every series of the server's own, by name and labels, as `/metrics` of `http` has them. */
export async function scrape(
  http: string | URL,
  route = "/metrics",
): Promise<ReadonlyMap<string, number>> {
  const asked = fetch(new URL(route, http), { tls: { rejectUnauthorized: false } });
  const answer = await within("the metrics", asked);
  const lines = (await answer.text()).split("\n").filter((line) => line.startsWith("nt_"));
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

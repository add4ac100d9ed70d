import { within } from "./client.ts";
import type { TestServer } from "./server.ts";

/** Waits until the series has a value that `is` accepts; for what no client can see. */
export async function metricBecomes(
  server: Pick<TestServer, "metric">,
  series: string,
  is: (value: number) => boolean,
): Promise<number> {
  let over = false;
  const accepted = async () => {
    for (;;) {
      const value = await server.metric(series);
      if (over || is(value)) return value;
    }
  };
  return within(`${series} to change`, accepted()).finally(() => {
    over = true;
  });
}

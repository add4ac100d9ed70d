import { within } from "./client.ts";

/** Waits for what no event tells. */
export function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  let over = false;
  const come = async () => {
    while (!over && !(await is())) await Bun.sleep(10);
  };
  return within(what, come()).finally(() => {
    over = true;
  });
}

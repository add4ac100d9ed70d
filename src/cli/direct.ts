/**
 * From now on no request goes through a proxy that the environment names (HTTP_PROXY): what is
 * asked is this very machine, or the way to a server step by step. `fetch` has no option for that.
 */
export function connectDirectly(): void {
  process.env["NO_PROXY"] = "*";
  process.env["no_proxy"] = "*";
}

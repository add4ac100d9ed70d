/** Where a setting's value came from, by the name that was used there. */
export type Source =
  | { readonly from: "flag"; readonly name: string }
  | { readonly from: "environment"; readonly name: string }
  | { readonly from: "default" };

/** `flag --port`, `environment WS_HEARTBEAT`, `default`. */
export function describeSource(source: Source): string {
  return source.from === "default" ? source.from : `${source.from} ${source.name}`;
}

import { element } from "./elements.ts";

export type StepState = "waiting" | "active" | "done" | "failed";

const titles = {
  code: "Code",
  seat: "Room",
  peer: "Other side",
  offer: "Offer",
  answer: "Answer",
  candidates: "ICE candidates",
  ice: "ICE checks",
  path: "Path",
  roundTrip: "Round trip",
} as const;
type StepName = keyof typeof titles;

const names = Object.keys(titles) as StepName[];

/** The connection panel: each step between a code and a connection, and how far it got. */
export class Steps {
  private readonly list = element("steps", HTMLOListElement);
  private readonly items = new Map(names.map((name) => [name, newItem(titles[name])]));

  constructor() {
    this.list.append(...Array.from(this.items.values(), ({ item }) => item));
    this.reset();
  }

  set(name: StepName, state: StepState, detail = ""): void {
    const found = this.items.get(name);
    if (found === undefined) return;
    found.item.dataset["state"] = state;
    found.state.textContent = `: ${words[state]}`;
    found.detail.textContent = detail;
    if (state === "active" || state === "failed") found.item.setAttribute("aria-current", "step");
    else found.item.removeAttribute("aria-current");
  }

  reset(): void {
    for (const name of names) this.set(name, "waiting");
  }
}

/** For those who don't see the dots. */
const words: Readonly<Record<StepState, string>> = {
  waiting: "not yet",
  active: "under way",
  done: "done",
  failed: "failed",
};

function newItem(title: string) {
  const item = document.createElement("li");
  item.className = "step";
  const name = document.createElement("span");
  name.className = "title";
  name.textContent = title;
  const state = document.createElement("span");
  state.className = "hidden";
  const detail = document.createElement("span");
  detail.className = "detail";
  item.append(name, state, detail);
  return { item, state, detail };
}
